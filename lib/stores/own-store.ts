import type { FastifyInstance } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import { createSeal } from './seal.ts'
import { cookieTokenStore } from './cookie/cookie-token-store.ts'
import { forbidCaching } from './cookie/response-cookies.ts'
import { endingWithSecureSession } from './secure-session-end.ts'
import { sessionTokenStore } from './server-session/session-token-store.ts'
import type { TokenStore } from './token-store.ts'

/** The store of a provider where the app brings none: the app's session on the server, where it has one; else a session cookie. */
export async function ownStore (fastify: FastifyInstance, options: CheckedOptions): Promise<TokenStore> {
  const store = hasServerSession(fastify) ? await serverStore(fastify, options) : await cookieStore(fastify, options)
  const { endsWith } = options.session
  return endsWith === undefined ? store : endingWithSecureSession(store, endsWith)
}

/** Whether the app has registered @fastify/session. */
export function hasServerSession (fastify: FastifyInstance): boolean {
  return fastify.hasRequestDecorator('sessionStore')
}

async function serverStore (fastify: FastifyInstance, options: CheckedOptions): Promise<TokenStore> {
  const { keys, cookieName } = options.session
  if (keys.length === 0) fastify.log.warn('The tokens are kept in clear in the store of @fastify/session: give session.key to seal them')
  return sessionTokenStore(fastify, { ...options, seal: keys.length === 0 ? undefined : await createSeal(fastify, options, 'record', cookieName) })
}

async function cookieStore (fastify: FastifyInstance, options: CheckedOptions): Promise<TokenStore> {
  const { cookieName, cookie } = options.session
  const store = cookieTokenStore({ ...options, seal: await createSeal(fastify, options, 'session', cookieName) })
  if (!cookie.secure) fastify.log.warn(`The session cookie ${cookieName} is not Secure: for development on loopback only`)
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    forbidCaching(reply, store.ownsCookie)
    done(null, payload)
  })
  return store
}
