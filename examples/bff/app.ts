import fastify, { type FastifyInstance } from 'fastify'
import tokenManagement, { type TokenSet } from 'fastify-token-management'
import { redisRefreshCoordinator } from 'fastify-token-management/redis'
import { Redis } from 'ioredis'
import { decodeJwt } from 'jose'
import { type Entry, liveList } from './live-list.ts'
import { page } from './page.ts'

export interface AppOptions {
  /** Where the browser finds it. */
  address: string
  issuer: string
  clientId: string
  clientSecret: string
  callbackUri: string
  postLogoutRedirectUri: string
  /** The address of the API that it calls for the user. */
  api: string
  /** Seals the session: 32 bytes in base64, the same in all processes. An app that keeps its sessions over a restart takes it from its configuration. */
  sessionKey: string
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
  const { address, issuer, clientId, clientSecret, callbackUri, postLogoutRedirectUri, api, sessionKey } = options
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

  // The session's cookie belongs to one host name; who typed `localhost` is brought there.
  app.addHook('onRequest', async (request, reply) => {
    if (request.host !== new URL(address).host) return reply.redirect(address + request.url)
  })

  await app.register(tokenManagement, {
    issuer,
    clientId,
    clientSecret,
    session: { key: sessionKey },
    ...(redis && { coordinator: redisRefreshCoordinator({ redis }) }),
    login: {
      callbackUri,
      scope: ['openid', 'profile', 'offline_access', 'orders'],
      onLogin: (_request, _reply, tokens) => note(tokens.sessionId, { what: 'login' })
    },
    logout: { postLogoutRedirectUri },
    onRefreshed: ({ tokens, durationSeconds, requests }) => {
      note(tokens.sessionId, { what: 'refreshed', milliseconds: durationSeconds * 1000, requests })
    },
    onRefreshFailed: ({ sessionId, failure, durationSeconds, requests }) => {
      note(sessionId, { what: 'refreshFailed', milliseconds: durationSeconds * 1000, requests, reason: failure })
    },
    onSessionEnded: ({ sessionId, reason }) => note(sessionId, { what: 'sessionEnded', reason })
  })

  await app.register(page, { issuer })

  app.get('/me', async (request) => {
    const tokens = await request.tokens.get()
    if (tokens === null) return { user: null }
    const { name } = tokens.idToken === undefined ? { name: 'somebody' } : decodeJwt<{ name: string }>(tokens.idToken)
    return { user: { name }, token: lifetimeOf(tokens) }
  })

  // Where nobody is logged in, the hook answers 401. The token is current, however long ago the login was.
  app.get('/api/orders', { onRequest: app.requireAccessToken }, async (request, reply) => {
    const accessToken = await request.accessToken()
    const response = await fetch(new URL('/orders', api), { headers: { authorization: `Bearer ${accessToken}` } })
    if (!response.ok) return reply.code(502).send({ error: `the API answered ${response.status}` })
    return { ...await response.json() as object, process: member?.number }
  })

  app.get('/events', async (request, reply) => {
    const tokens = await request.tokens.get()
    if (tokens === null) return reply.code(401).send({ error: 'nobody is logged in' })
    return reply.type('text/event-stream').header('cache-control', 'no-store').send(list.follow(tokens.sessionId))
  })

  return app
}

/** What the page may know of the tokens. */
function lifetimeOf ({ accessTokens: [token] }: TokenSet) {
  const { issuedAt = 0, expiresAt = 0 } = token ?? {}
  return { lifetime: expiresAt - issuedAt, secondsLeft: expiresAt - Date.now() / 1000 }
}
