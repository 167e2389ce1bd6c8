import type { FastifyInstance } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import { InvalidOptions } from '../errors.ts'
import { createSeal } from './seal.ts'
import { cookieTokenStore } from './cookie/cookie-token-store.ts'
import { endingWithSecureSession } from './secure-session-end.ts'
import { sessionsOf } from './server-session/fastify-session.ts'
import { sessionTokenStore } from './server-session/session-token-store.ts'
import { storeProblem } from './store-check.ts'
import { takeName } from './taken-names.ts'
import type { TokenStore, TokenStoreFactory } from '../tokens/token-store.ts'

/** The store of a provider where the app brings none: of its factory; else in the app's session on the server, where it has one; else a session cookie. */
export async function ownStore (fastify: FastifyInstance, options: CheckedOptions, factory: TokenStoreFactory | undefined): Promise<TokenStore> {
  const store = factory !== undefined
    ? madeStore(fastify, options, factory)
    : hasServerSession(fastify) ? await serverStore(fastify, options) : await cookieStore(fastify, options)
  const { endsWith } = options.session
  return endsWith === undefined ? store : endingWithSecureSession(store, endsWith)
}

/** Whether the app has registered @fastify/session. */
export function hasServerSession (fastify: FastifyInstance): boolean {
  return fastify.hasRequestDecorator('sessionStore')
}

async function serverStore (fastify: FastifyInstance, options: CheckedOptions): Promise<TokenStore> {
  const { name, session: { keys, cookieName } } = options
  takeName(sessionsOf(fastify), name, `name: there is a registration ${name} already whose sessions are in the same @fastify/session. Give this one a name of its own`)
  if (keys.length === 0) fastify.log.warn('The tokens are kept in clear in the store of @fastify/session: give session.key to seal them')
  return sessionTokenStore(fastify, { ...options, seal: keys.length === 0 ? undefined : await createSeal(fastify, options, 'record', cookieName) })
}

function madeStore (fastify: FastifyInstance, options: CheckedOptions, factory: TokenStoreFactory): TokenStore {
  takeCookieName(fastify, options)
  const store = factory({ ...options, log: fastify.log, isCoordinated: options.coordinator !== undefined })
  const problem = storeProblem(store)
  if (problem !== undefined) throw new InvalidOptions(`tokenStore must be a function that gives a store at once, such as redisTokenStore({ redis }): ${problem}`)
  fastify.addHook('onClose', async () => { await store.close?.() })
  return store
}

async function cookieStore (fastify: FastifyInstance, options: CheckedOptions): Promise<TokenStore> {
  takeCookieName(fastify, options)
  return cookieTokenStore({ ...options, seal: await createSeal(fastify, options, 'session', options.session.cookieName) })
}

function takeCookieName (fastify: FastifyInstance, options: CheckedOptions): void {
  const { cookieName, cookie } = options.session
  takeName(fastify.server, JSON.stringify([cookieName, cookie.domain, cookie.path]), `session.cookieName: another registration of this app has the session cookie ${cookieName}. Give this one a name or a session.cookieName of its own, or register once, around both contexts`)
  if (!cookie.secure) fastify.log.warn(`The session cookie ${cookieName} is not Secure: for development on loopback only`)
}
