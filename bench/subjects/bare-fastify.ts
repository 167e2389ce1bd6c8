import Fastify from 'fastify'
import type { SavedSubject } from '../subject.ts'

/** What cannot be beaten: the same answer, for the same Cookie header, which nobody looks at. */
export const bareFastify: SavedSubject = {
  name: 'bare Fastify',
  packages: ['fastify'],

  async start ({ access_token: token }) {
    const app = Fastify({ forceCloseConnections: true })
    app.get('/token', async () => ({ token }))
    return { origin: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
  }
}
