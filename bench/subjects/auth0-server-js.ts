import { CookieTransactionStore, ServerClient, StatelessStateStore, type CookieHandler } from '@auth0/auth0-server-js'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { overHttp } from '../authorization-server.ts'
import { freePort } from '../../test/support/free-port.ts'
import { scope, type Subject } from '../subject.ts'

interface StoreOptions {
  request: FastifyRequest
  reply: FastifyReply
}

/** The README of @auth0/auth0-server-js, "Stateless Store"; routes and calls as @auth0/auth0-fastify has them. */
export const auth0ServerJs: Subject = {
  name: '@auth0/auth0-server-js',
  packages: ['@auth0/auth0-server-js', 'fastify'],
  loginPath: '/auth/login',
  wantsHttps: true,

  async start ({ issuer, settings: { clientId, clientSecret } }) {
    const port = await freePort()
    const appBaseUrl = `http://127.0.0.1:${port}`
    const secret = 'a secret of the session, long enough for everybody'
    const auth0 = new ServerClient<StoreOptions>({
      domain: new URL(issuer).host,
      clientId,
      clientSecret,
      authorizationParams: { redirect_uri: `${appBaseUrl}/auth/callback`, scope: scope.join(' ') },
      transactionStore: new CookieTransactionStore({ secret }, cookieHandler),
      stateStore: new StatelessStateStore({ secret }, cookieHandler),
      customFetch: (input, init) => fetch(overHttp(input instanceof Request ? input.url : input), init)
    })

    const app = Fastify({ forceCloseConnections: true })
    await app.register(cookie)
    app.get('/auth/login', async (request, reply) => {
      const url = await auth0.startInteractiveLogin({}, { request, reply })
      return reply.redirect(url.href)
    })
    app.get('/auth/callback', async (request, reply) => {
      await auth0.completeInteractiveLogin(new URL(request.url, appBaseUrl), { request, reply })
      return reply.redirect(appBaseUrl)
    })
    app.get('/token', async (request, reply) => {
      const { accessToken } = await auth0.getAccessToken({ request, reply })
      return { token: accessToken }
    })
    const origin = await app.listen({ port, host: '127.0.0.1' })
    return { origin, close: () => app.close() }
  }
}

const cookieHandler: CookieHandler<StoreOptions> = {
  setCookie: (name, value, options, store) => { store?.reply.setCookie(name, value, options ?? {}) },
  getCookie: (name, store) => store?.request.cookies[name],
  getCookies: (store) => Object.fromEntries(
    Object.entries(store?.request.cookies ?? {}).flatMap(([name, value]) => value === undefined ? [] : [[name, value]])
  ),
  deleteCookie: (name, store) => { store?.reply.clearCookie(name) }
}
