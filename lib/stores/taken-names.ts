import { InvalidOptions } from '../errors.ts'

const taken = new WeakMap<object, Set<string>>()

/**
 * Takes a name that sessions are kept under. Contexts of one app do not know each other's registrations, but their sessions
 * meet in one browser: two under one name would end each other.
 *
 * @param where - that the name is to be the only one of its kind in: the HTTP server, or the app's @fastify/session.
 * @throws FST_TOKEN_INVALID_OPTIONS where another registration has it.
 */
export function takeName (where: object, name: string, problem: string): void {
  const names = taken.get(where) ?? new Set()
  if (names.has(name)) throw new InvalidOptions(problem)
  taken.set(where, names.add(name))
}
