import oauth2, { type OAuth2Namespace, type Token } from '@fastify/oauth2'
import secureSession from '@fastify/secure-session'
import Fastify from 'fastify'
import { freePort } from '../../test/support/free-port.ts'
import { scope, type Subject } from '../subject.ts'

/** In its README, "Reference", but not in its types: the simple-oauth2 below it. */
interface SimpleOAuth2 { createToken (token: Token): { expired (): boolean } }

declare module 'fastify' {
  interface FastifyInstance { strict: OAuth2Namespace & { oauth2: SimpleOAuth2 } }
}

declare module '@fastify/secure-session' {
  interface SessionData { token: Token }
}

/** The READMEs of @fastify/oauth2 and @fastify/secure-session; whether a token has expired, simple-oauth2 knows. */
export const fastifyOAuth2: Subject = {
  name: '@fastify/oauth2 + @fastify/secure-session',
  packages: ['@fastify/oauth2', '@fastify/secure-session', 'fastify'],
  loginPath: '/login',

  async start ({ issuer, settings: { clientId, clientSecret } }) {
    const port = await freePort()
    const app = Fastify({ forceCloseConnections: true })
    await app.register(secureSession, { key: Buffer.alloc(32, 'k'), cookie: { path: '/' } })
    await app.register(oauth2, {
      name: 'strict',
      scope,
      credentials: { client: { id: clientId, secret: clientSecret } },
      startRedirectPath: '/login',
      callbackUri: `http://127.0.0.1:${port}/login/callback`,
      cookie: { path: '/' },
      discovery: { issuer }
    })
    app.get('/login/callback', async (request, reply) => {
      const { token } = await app.strict.getAccessTokenFromAuthorizationCodeFlow(request, reply)
      request.session.set('token', token)
      return reply.redirect('/')
    })
    app.get('/token', async (request, reply) => {
      let token = request.session.get('token')
      if (token === undefined) return reply.code(401).send()
      if (app.strict.oauth2.createToken(token).expired()) {
        ({ token } = await app.strict.getNewAccessTokenUsingRefreshToken(token, {}))
        request.session.set('token', token)
      }
      return { token: token.access_token }
    })
    const origin = await app.listen({ port, host: '127.0.0.1' })
    return { origin, close: () => app.close() }
  }
}
