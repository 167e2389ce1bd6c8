import { fastifyCookie } from '@fastify/cookie'
import Fastify from 'fastify'
import { getIronSession, sealData, type SessionOptions } from 'iron-session'
import type { SavedSubject } from '../subject.ts'

interface Session { accessToken?: string, refreshToken?: string, idToken?: string }

const options: SessionOptions = { cookieName: 'iron', password: 'a password of the session, long enough for everybody' }

/** The README of iron-session, with Node.js' own request and response. It refuses to save what no browser keeps (4096 bytes), so the cookie is set beside it. */
export const ironSession: SavedSubject = {
  name: 'iron-session in Fastify',
  packages: ['iron-session', 'fastify'],

  async start (tokens) {
    const app = Fastify({ forceCloseConnections: true })
    app.get('/login', async (_request, reply) => {
      const session: Session = { accessToken: tokens.access_token, refreshToken: tokens.refresh_token, idToken: tokens.id_token }
      reply.header('set-cookie', fastifyCookie.serialize(options.cookieName, await sealData(session, options)))
      return {}
    })
    app.get('/token', async (request, reply) => {
      const { accessToken } = await getIronSession<Session>(request.raw, reply.raw, options)
      return { token: accessToken }
    })
    return { origin: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
  }
}
