import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { UnknownProvider } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import { withoutSlash } from '../options/paths.ts'

/** What a test does in a request of its own. */
type Visit = (request: FastifyRequest) => Promise<void>

/** What a session is made with at one provider. */
export interface TestedProvider extends Pick<CheckedOptions, 'clientId' | 'clock' | 'dpop' | 'login' | 'name'> {
  readonly issuer: string
}

/** Where tests come into one context of an app. */
export interface Entrance {
  readonly path: string
  readonly providers: Map<string, TestedProvider>
}

/** What @fastify/swagger goes by. */
const hidden: FastifySchema & { readonly hide: boolean } = { hide: true }

const kEntrance = Symbol('fastify-token-management.entrance')

/** By the server of the app: tests hold its outermost instance, and may not see what is decorated further in. */
const entrances = new WeakMap<object, Entrance[]>()

/** What makes a request a test's is the call that it comes from: nothing that could be sent. */
const visits = new AsyncLocalStorage<Visit>()

let isOpen = false

/** Apps that are built from now on let tests in. */
export function openEntrances (): void {
  isOpen = true
}

/** Lets the tests of this process in, where there are any: nothing is added to an app in production. */
export function admitTests (fastify: FastifyInstance, { name, clientId, clock, dpop, login }: CheckedOptions, issuer: string): void {
  if (!isOpen) return
  // Not that of a context around it: there may be another store.
  if (!Object.hasOwn(fastify, kEntrance)) fastify.decorate(kEntrance, addEntrance(fastify))
  const { providers } = fastify.getDecorator<Entrance>(kEntrance)
  providers.set(name, { name, clientId, clock, dpop, login, issuer })
}

/** @throws Error where nobody is let in; FST_TOKEN_UNKNOWN_PROVIDER */
export function entranceOf (server: object, name: string | undefined): { path: string, provider: TestedProvider } {
  const known = entrances.get(server)
  if (known === undefined) throw new Error('There is no fastify-token-management in this app that lets tests in. Register the plugin, and import fastify-token-management/testing before the app is built')
  const all = known.flatMap(({ path, providers }) => [...providers.values()].map((provider) => ({ path, provider })))
  const found = name === undefined ? all[0] : all.find(({ provider }) => provider.name === name)
  if (found === undefined) throw new UnknownProvider(String(name), all.map(({ provider }) => provider.name).join(', '))
  return found
}

/** Makes a request as a test's. */
export async function visiting<Result> (visit: Visit, request: () => PromiseLike<Result>): Promise<Result> {
  return await visits.run(visit, request)
}

/** A hook, so that no guard that the app adds later stands before it; and a route, so that the hooks of its context run. For all others it is a page that there is not. */
function addEntrance (fastify: FastifyInstance): Entrance {
  const url = `/${randomUUID()}`
  const entrance: Entrance = { path: withoutSlash(fastify.prefix) + url, providers: new Map() }
  fastify.addHook('onRequest', async (request, reply) => {
    const visit = visits.getStore()
    if (visit === undefined || !isEntrance(request)) return
    await visit(request)
    return await reply.code(204).send()
  })
  fastify.get(url, { config: { tokens: false }, exposeHeadRoute: false, schema: hidden }, (_request, reply) => { reply.callNotFound() })
  entrances.set(fastify.server, [...entrances.get(fastify.server) ?? [], entrance])
  return entrance
}

/** That of a context further in, too: no guard that is between them stands before it. */
function isEntrance ({ server, routeOptions }: FastifyRequest): boolean {
  return entrances.get(server.server)?.some(({ path }) => path === routeOptions.url) ?? false
}
