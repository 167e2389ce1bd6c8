import { randomBytes } from 'node:crypto'
import fastify, { type FastifyInstance } from 'fastify'
import tokenManagement, { type TokenSet } from 'fastify-token-management'
import { decodeJwt } from 'jose'
import { liveList } from './live-list.ts'
import { page } from './page.ts'

interface AppOptions {
  /** Where the browser finds it. */
  address: string
  issuer: string
  clientId: string
  clientSecret: string
  callbackUri: string
  postLogoutRedirectUri: string
  /** The address of the API that it calls for the user. */
  api: string
}

/** The backend for frontend: the browser holds a sealed cookie, the tokens stay on this side. */
export async function bff (options: AppOptions): Promise<FastifyInstance> {
  const { address, issuer, clientId, clientSecret, callbackUri, postLogoutRedirectUri, api } = options
  const app = fastify({ logger: { level: 'warn' } })
  const list = liveList()
  app.addHook('preClose', async () => list.end())

  // The session's cookie belongs to one host name; who typed `localhost` is brought there.
  app.addHook('onRequest', async (request, reply) => {
    if (request.host !== new URL(address).host) return reply.redirect(address + request.url)
  })

  await app.register(tokenManagement, {
    issuer,
    clientId,
    clientSecret,
    // An app that keeps its sessions over a restart takes the key from its configuration.
    session: { key: randomBytes(32) },
    login: {
      callbackUri,
      scope: ['openid', 'profile', 'offline_access', 'orders'],
      onLogin: (_request, _reply, tokens) => list.add(tokens.sessionId, { what: 'login' })
    },
    logout: { postLogoutRedirectUri },
    onRefreshed: ({ tokens, durationSeconds, requests }) => {
      list.add(tokens.sessionId, { what: 'refreshed', milliseconds: durationSeconds * 1000, requests })
    },
    onRefreshFailed: ({ sessionId, failure, durationSeconds, requests }) => {
      list.add(sessionId, { what: 'refreshFailed', milliseconds: durationSeconds * 1000, requests, reason: failure })
    },
    onSessionEnded: ({ sessionId, reason }) => list.add(sessionId, { what: 'sessionEnded', reason })
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
    return response.json()
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
