import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { readKeys } from '../../lib/options/session-check.ts'
import { createSeal } from '../../lib/stores/seal.ts'
import type { Browser } from './browser.ts'
import { JsonSessionStore } from './json-session-store.ts'
import { startLoginApp, type LoginApp, type LoginAppOptions } from './login-flow.ts'
import { sessionKey } from './start-app.ts'

/** What the app's own code does with its session of @fastify/session. */
export interface AppSession {
  readonly sessionId: string
  cart?: unknown
  regenerate (keys?: string[]): Promise<void>
  destroy (): Promise<void>
}

export interface SessionApp extends LoginApp {
  readonly store: JsonSessionStore
}

export interface SessionAppOptions extends LoginAppOptions {
  readonly store?: JsonSessionStore
  readonly sessionOptions?: object
}

export const appSession = (request: FastifyRequest) => request.getDecorator<AppSession>('session')

/** The id of the session that a browser has, as its cookie says it. */
export const sid = (browser: Browser) => browser.cookies.get('sessionId')

/**
 * An app that has its session on the server, and the plugin's login. `GET /session` is what is in the session, `POST /cart`
 * puts a book into it, and `POST /clear` is `request.tokens.clear()`. What is sealed in its store, the store can open.
 */
export async function startSessionApp (t: Test, { store = new JsonSessionStore(), sessionOptions, routes, session: given, ...options }: SessionAppOptions = {}): Promise<SessionApp> {
  const { key = sessionKey, ...others } = given ?? {}
  const app = await startLoginApp(t, {
    session: { key, ...others },
    before: async (app) => {
      await app.register(cookie)
      await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false }, ...sessionOptions })
    },
    routes: async (app) => {
      const config = { tokens: false } as const
      app.get('/session', { config }, (request) => appSession(request))
      app.post('/cart', { config }, (request) => { appSession(request).cart = ['book']; return {} })
      app.post('/clear', async (request) => { await request.tokens.clear(); return { ...appSession(request) } })
      await routes?.(app)
    },
    ...options
  })
  const { issuer, settings: { clientId } } = app.server
  const seal = await createSeal(Fastify(), { issuer: options.issuer ?? issuer, clientId, session: { keys: readKeys(key) } }, 'record', 'tokens')
  store.open = (content) => typeof content === 'string' ? seal.open(content, app.app.log)?.content : content
  return { ...app, store }
}
