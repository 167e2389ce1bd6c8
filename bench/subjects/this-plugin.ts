import Fastify from 'fastify'
import tokenManagement from '../../lib/index.ts'
import { freePort, scope, type Subject } from '../subject.ts'

/** README.md, "Quick start". */
export const thisPlugin: Subject = {
  name: 'fastify-token-management',
  packages: ['fastify'],
  loginPath: '/auth/login',

  async start ({ issuer, settings: { clientId, clientSecret } }) {
    const port = await freePort()
    const app = Fastify({ forceCloseConnections: true })
    await app.register(tokenManagement, {
      issuer,
      clientId,
      clientSecret,
      session: { key: Buffer.alloc(32, 'k') },
      login: { callbackUri: `http://127.0.0.1:${port}/auth/callback`, scope }
    })
    app.get('/token', { onRequest: app.requireAccessToken }, async (request) => ({ token: await request.accessToken() }))
    const origin = await app.listen({ port, host: '127.0.0.1' })
    return { origin, close: () => app.close() }
  }
}
