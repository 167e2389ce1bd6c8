import oauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import secureSession from '@fastify/secure-session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Client } from './identity-provider.ts'
import type { Entry } from './live-list.ts'
import { sessionIdOf } from './session.ts'

export interface ByHandOptions {
  client: Client
  issuer: string
  api: string
  /** 32 bytes in base64. */
  sessionKey: string
  note: (sessionId: string, entry: Entry) => void
}

interface Tokens { accessToken: string, refreshToken: string, life: { expiresAt: number, lifetime: number } }

/**
 * The second column: what many apps do, and what goes wrong with it. Do not copy it. Each request looks whether the token in
 * its cookie is due, and refreshes it by itself; where that fails, whyever, the user is logged out.
 */
export async function refreshByHand (app: FastifyInstance, { client, issuer, api, sessionKey, note }: ByHandOptions): Promise<void> {
  await app.register(secureSession, { key: Buffer.from(sessionKey, 'base64'), cookieName: 'by-hand', cookie: { path: '/by-hand', httpOnly: true, sameSite: 'lax' } })
  await app.register(oauth2, {
    name: 'handmade',
    credentials: { client: { id: client.id, secret: client.secret } },
    discovery: { issuer },
    callbackUri: client.callbackUri,
    startRedirectPath: '/by-hand/login',
    scope: ['openid', 'orders'],
    pkce: 'S256',
    cookie: { path: '/by-hand' }
  })
  const { handmade } = app

  app.get('/by-hand/callback', { config: { tokens: false } }, async (request, reply) => {
    const { token } = await handmade.getAccessTokenFromAuthorizationCodeFlow(request, reply)
    const tokens = tokensFrom(token)
    const owner = await sessionIdOf(request, reply) ?? ''
    request.session.set('byHand', { owner, tokens })
    note(owner, { by: 'hand', what: 'login', token: tokens.life })
    return reply.redirect('/')
  })

  app.get('/by-hand/orders', { onRequest: app.requireCsrfHeader, config: { tokens: false } }, async (request, reply) => {
    let tokens = request.session.get('byHand')?.tokens
    if (tokens === undefined) return reply.code(401).send({ reason: 'logged out' })
    if (isDue(tokens)) {
      const answer = await refresh(tokens)
      if (!answer.ok) {
        const reason = answer.status === 400 ? 'invalid_grant' : 'unavailable'
        noted(request, { by: 'hand', what: 'refreshFailed', reason })
        request.session.delete()
        return reply.code(401).send({ reason })
      }
      tokens = tokensFrom(JSON.parse(await answer.text()))
      noted(request, { by: 'hand', what: 'refreshed', token: tokens.life })
      request.session.set('byHand', { owner: ownerOf(request), tokens })
    }
    const response = await fetch(new URL('/orders', api), { headers: { authorization: `Bearer ${tokens.accessToken}` } })
    return reply.code(response.status).send(await response.json())
  })

  app.delete('/by-hand/session', { onRequest: app.requireCsrfHeader, config: { tokens: false } }, async (request, reply) => {
    request.session.delete()
    return reply.code(204).send()
  })

  async function refresh ({ refreshToken }: Tokens): Promise<Response> {
    return await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${client.id}:${client.secret}`)}` },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken })
    })
  }

  function noted (request: FastifyRequest, entry: Entry): void {
    note(ownerOf(request), entry)
  }
}

/** In the second half of its life, as the plugin does it with short tokens. */
function isDue ({ life: { expiresAt, lifetime } }: Tokens): boolean {
  return expiresAt - lifetime / 2 < Date.now() / 1000
}

function tokensFrom (answer: { access_token: string, refresh_token?: string, expires_in: number }): Tokens {
  const { access_token: accessToken, refresh_token: refreshToken = '', expires_in: lifetime } = answer
  return { accessToken, refreshToken, life: { expiresAt: Date.now() / 1000 + lifetime, lifetime } }
}

/** In whose live list its entries are. */
function ownerOf (request: FastifyRequest): string {
  return request.session.get('byHand')?.owner ?? ''
}

declare module 'fastify' {
  interface FastifyInstance { handmade: OAuth2Namespace }
}

declare module '@fastify/secure-session' {
  interface SessionData { byHand: { owner: string, tokens: Tokens } }
}
