import secureSession from '@fastify/secure-session'
import Fastify from 'fastify'
import type { SavedSubject } from '../subject.ts'

declare module '@fastify/secure-session' {
  interface SessionData { accessToken: string, refreshToken: string, idToken: string }
}

/** The README of @fastify/secure-session, "Using a pregenerated key": the tokens in the session, and no more than that. */
export const fastifySecureSession: SavedSubject = {
  name: '@fastify/secure-session',
  packages: ['@fastify/secure-session', 'fastify'],

  async start (tokens) {
    const app = Fastify({ forceCloseConnections: true })
    await app.register(secureSession, { key: Buffer.alloc(32, 'k'), cookie: { path: '/' } })
    app.get('/login', async (request) => {
      request.session.set('accessToken', tokens.access_token)
      request.session.set('refreshToken', tokens.refresh_token)
      request.session.set('idToken', tokens.id_token)
      return {}
    })
    app.get('/token', async (request) => ({ token: request.session.get('accessToken') }))
    return { origin: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
  }
}
