import fastify, { type FastifyInstance } from 'fastify'
import tokenManagement, { type TokenSet } from 'fastify-token-management'
import { tokenProxy } from 'fastify-token-management/proxy'
import { redisRefreshCoordinator } from 'fastify-token-management/redis'
import { Redis } from 'ioredis'
import { type ByHandOptions, refreshByHand } from './by-hand.ts'
import { failurePages } from './failure-pages.ts'
import type { Client } from './identity-provider.ts'
import { type Entry, liveList } from './live-list.ts'
import { page } from './page.ts'
import { session } from './session.ts'
import { switches } from './switches.ts'

export interface AppOptions {
  /** Where the browser finds it. */
  address: string
  issuer: string
  /** The address of the API that it calls for the user. */
  api: string
  client: Client
  /** Seals the session: 32 bytes in base64, the same in all processes. An app that keeps its sessions over a restart takes it from its configuration. */
  sessionKey: string
  byHand: Pick<ByHandOptions, 'client' | 'sessionKey'>
}

/** One of several processes of the app. */
export interface Member {
  number: number
  /** Where they agree on who refreshes. */
  redis: string
  /** Tells all of them what has happened, this one included. */
  tell: (sessionId: string, entry: Entry) => void
  onTold: (listener: (sessionId: string, entry: Entry) => void) => void
}

/** The backend for frontend: the browser holds a sealed cookie, the tokens stay on this side. */
export async function bff (options: AppOptions, member?: Member): Promise<FastifyInstance> {
  const { address, issuer, api, client: { id, secret, callbackUri, postLogoutRedirectUri }, sessionKey, byHand } = options
  const app = fastify({ logger: { level: 'warn' } })
  const list = liveList()
  app.addHook('preClose', async () => list.end())
  const redis = member && new Redis(member.redis)
  redis?.on('error', (error) => app.log.debug(error)) // the plugin says what it means
  app.addHook('onClose', async () => redis?.disconnect())
  member?.onTold((sessionId, entry) => list.add(sessionId, entry))

  function note (sessionId: string, entry: Entry): void {
    if (member === undefined) list.add(sessionId, entry)
    else member.tell(sessionId, { ...entry, process: member.number })
  }

  app.addHook('onRequest', async (request, reply) => {
    // The session's cookie belongs to one host name; who typed `localhost` is brought there.
    if (request.host !== new URL(address).host) return reply.redirect(address + request.url)
    if (member !== undefined) reply.header('x-process', String(member.number))
  })
  failurePages(app)

  const cookie = { path: '/', sameSite: 'lax', secure: address.startsWith('https:') } as const
  await app.register(tokenManagement, {
    issuer,
    clientId: id,
    clientSecret: secret,
    dpop: true,
    session: { key: sessionKey, cookieName: 'tokens', cookie },
    ...(redis && { coordinator: redisRefreshCoordinator({ redis }) }),
    login: {
      callbackUri,
      scope: ['openid', 'profile', 'offline_access', 'orders'],
      onLogin: (_request, _reply, tokens) => note(tokens.sessionId, { by: 'plugin', what: 'login', token: lifeOf(tokens) })
    },
    logout: { postLogoutRedirectUri },
    bff: { session: { anonymous: 'null' } },
    apis: {
      orders: { origin: api, token: 'user' },
      identityProvider: { origin: issuer, token: 'none' }
    },
    onRefreshed: ({ tokens, durationSeconds, requests }) => {
      note(tokens.sessionId, { by: 'plugin', what: 'refreshed', milliseconds: durationSeconds * 1000, requests, token: lifeOf(tokens) })
    },
    onRefreshFailed: ({ sessionId, failure, durationSeconds, requests }) => {
      note(sessionId, { by: 'plugin', what: 'refreshFailed', milliseconds: durationSeconds * 1000, requests, reason: failure })
    },
    onSessionEnded: ({ sessionId, reason }) => note(sessionId, { by: 'plugin', what: 'sessionEnded', reason })
  })

  // The page's calls go through here: with the token, and only these.
  await app.register(tokenProxy, { prefix: '/api', api: 'orders', allow: [{ path: '/orders', methods: ['GET'] }] })

  await app.register(page, { issuer })
  await app.register(session, { list, cookie: { name: 'tokens', httpOnly: true, ...cookie } })
  await app.register(switches)
  await app.register(refreshByHand, { ...byHand, issuer, api, note })

  // Logs in twice: here, which `required` does, and then for the second column.
  app.get('/login', { config: { tokens: { required: 'login' } } }, async (_request, reply) => reply.redirect('/by-hand/login'))

  return app
}

/** What the page may know of the tokens. */
function lifeOf ({ accessTokens: [token] }: TokenSet) {
  const { issuedAt = 0, expiresAt = 0 } = token ?? {}
  return { expiresAt, lifetime: expiresAt - issuedAt }
}
