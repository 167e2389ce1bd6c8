import { RESERVED, RESERVED_FOR_LOGIN, RESERVED_HEADERS } from '../tokens/extra-parameters.ts'
import type { Options } from './schema.ts'
import { isResource, isScopeToken } from '../tokens/token-wish.ts'

/**
 * What is wrong with the options that say what requests to the provider ask for, and with what.
 *
 * @param taken - the names of other registrations' clients.
 */
export function requestsProblem ({ clients, login, parameters = {}, headers = {} }: Options, taken: readonly string[]): string | undefined {
  for (const resource of [login?.resource ?? []].flat()) {
    if (!isResource(resource)) return `login.resource ${RESOURCE}`
  }
  if (login !== undefined && !login.scope.every(isScopeToken)) return `login.scope ${SCOPE}`
  for (const [name, client] of Object.entries(clients)) {
    const problem = clientProblem(client, taken.includes(name))
    if (problem !== undefined) return `clients.${name}${problem}`
  }
  const reserved = reservedName('login.parameters', login?.parameters, RESERVED_FOR_LOGIN) ??
    Object.entries(parameters).map(([kind, given]) => reservedName(`parameters.${kind}`, given, RESERVED)).find((name) => name !== undefined) ??
    reservedName('headers', lowerCase(headers), RESERVED_HEADERS)
  if (reserved !== undefined) return `${reserved} ${RESERVED_PROBLEM}`
  return isHeaders(headers) ? undefined : 'headers must be names and values that HTTP takes'
}

const SCOPE = 'must be scope tokens, each by itself (RFC 6749 §3.3)'
const RESOURCE = 'must be an absolute URI without a fragment'
const RESERVED_PROBLEM = 'is set by this plugin itself'

function clientProblem ({ clientId, clientSecret, clientAuthentication, scope = [], resource, parameters }: Options['clients'][string], isTaken: boolean): string | undefined {
  if (isTaken) return ': another registration has a client of that name'
  const ways = [clientSecret, clientAuthentication].filter((way) => way !== undefined).length
  if (ways !== (clientId === undefined ? 0 : 1)) return ': clientId comes with one of clientSecret and clientAuthentication, and these with it'
  if (!scope.every(isScopeToken)) return `.scope ${SCOPE}`
  if (resource !== undefined && !isResource(resource)) return `.resource ${RESOURCE}`
  const reserved = reservedName('.parameters', parameters, RESERVED)
  return reserved && `${reserved} ${RESERVED_PROBLEM}`
}

/** Functions are judged by what they give, when they give it. */
function reservedName (path: string, given: unknown, reserved: ReadonlySet<string>): string | undefined {
  const name = Object.keys(given ?? {}).find((name) => reserved.has(name))
  return name && `${path}.${name}`
}

function lowerCase (headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function isHeaders (headers: Readonly<Record<string, string>>): boolean {
  try {
    return new Headers(headers) !== undefined
  } catch {
    return false
  }
}
