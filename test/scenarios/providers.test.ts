import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import tokenManagement, { type StoreContext, type TokenSet } from '../../lib/index.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { Browser } from '../support/browser.ts'
import { JsonSessionStore } from '../support/json-session-store.ts'
import { authorize, goOn, logIn, startLogin } from '../support/login-flow.ts'
import { sessionKey, startApp, type TestApp } from '../support/start-app.ts'

interface TwoProviders extends TestApp {
  readonly first: AuthorizationServer
  readonly github: AuthorizationServer
  readonly browser: Browser
}

async function startServer (t: Test, settings: Partial<Settings>): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  return server
}

/** How a second provider is registered, with a login beside the first one's. */
function registration (server: AuthorizationServer, name: string, clock?: () => number) {
  return {
    name,
    issuer: server.issuer,
    clientId: server.settings.clientId,
    clientSecret: server.settings.clientSecret,
    session: { key: sessionKey },
    ...clock && { clock },
    login: { callbackUri: `http://127.0.0.1:3000/${name}/callback`, startRedirectPath: `/${name}/login`, scope: ['openid', 'repos'] },
    logout: { path: `/${name}/logout` }
  }
}

async function startTwo (t: Test, routes: (app: FastifyInstance) => unknown = () => {}): Promise<TwoProviders> {
  const first = await startServer(t, { expiresIn: 60, user: 'alice' })
  const github = await startServer(t, { expiresIn: 60, user: 'octocat', clientId: 'another client' })
  const clock = { now: Date.now() / 1000 }
  const started = await startApp(t, first, {
    clock: () => clock.now,
    login: { callbackUri: 'http://127.0.0.1:3000/auth/callback', scope: ['openid', 'orders'] },
    routes: async (app) => {
      await app.register(tokenManagement, registration(github, 'github', () => clock.now))
      app.get('/github/token', async (request) => ({ token: await request.accessToken({ provider: 'github' }) }))
      await routes(app)
    }
  })
  return { ...started, clock, first, github, browser: new Browser(started.origin) }
}

test('two providers of one app have logins, cookies and sessions of their own', async (t) => {
  const { first, github, browser } = await startTwo(t)
  await logIn(browser)
  t.strictSame([...browser.cookies.keys()], ['tokens'])
  t.equal((await browser.get('/github/token')).status, 401)
  await logIn(browser, '/github/login')
  t.strictSame([...browser.cookies.keys()].sort(), ['github-tokens', 'tokens'])

  const tokens = [String((await browser.get('/token')).json.token), String((await browser.get('/github/token')).json.token)]
  t.equal(first.whoHas(tokens[0] ?? '')?.sub, 'alice')
  t.equal(github.whoHas(tokens[1] ?? '')?.sub, 'octocat')

  t.equal((await goOn(browser, await browser.post('/github/logout'))).status, 303)
  t.strictSame([...browser.cookies.keys()], ['tokens'])
  t.equal((await browser.get('/github/token')).status, 401)
  t.equal((await browser.get('/token')).status, 200)
  t.equal(github.isAlive(tokens[1] ?? ''), false)
  t.equal(first.isAlive(tokens[0] ?? ''), true)
})

test('two logins may be under way in one browser', async (t) => {
  const { browser } = await startTwo(t)
  const callbacks = [await authorize(await startLogin(browser)), await authorize(await startLogin(browser, '/github/login'))]
  t.match([...browser.cookies.keys()].sort(), [/^github-login-[\w-]{8}$/, /^login-[\w-]{8}$/])
  t.equal((await browser.get(callbacks[1]?.replace('/github', '/auth') ?? '')).status, 400, 'and neither takes what is meant for the other')
  for (const callback of callbacks) t.equal((await browser.get(callback)).status, 303)
  t.strictSame([...browser.cookies.keys()].sort(), ['github-tokens', 'tokens'])
})

test('a cookie of one provider opens nothing under the name of another', async (t) => {
  const { browser } = await startTwo(t)
  await logIn(browser)
  browser.cookies.set('github-tokens', browser.cookies.get('tokens') ?? '')
  t.equal((await browser.get('/github/token')).status, 401)
  t.equal((await browser.get('/token')).status, 200)
})

test('each provider refreshes at its own token service, and only when its own tokens are asked for', async (t) => {
  const { first, github, browser, clock } = await startTwo(t)
  await logIn(browser)
  await logIn(browser, '/github/login')
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  t.strictSame([first.refreshes, github.refreshes], [1, 0])
  t.equal((await browser.get('/github/token')).status, 200)
  t.strictSame([first.refreshes, github.refreshes], [1, 1])
})

test('one response may set the cookies of two providers', async (t) => {
  const { browser, clock } = await startTwo(t, (app) => app.get('/both', async (request) => [
    await request.accessToken(), await request.accessToken({ provider: 'github' })
  ]))
  await logIn(browser)
  await logIn(browser, '/github/login')
  clock.now += 61
  const { setCookies } = await browser.get('/both')
  t.match(setCookies.sort(), [/^github-tokens=/, /^tokens=/])
})

test('the hooks serve the provider that the route names', async (t) => {
  const { first, github, browser, clock } = await startTwo(t, (app) => {
    const config = { tokens: { provider: 'github' } }
    app.get('/repos', { config }, () => ({}))
    app.get('/guarded', { config, onRequest: app.requireAccessToken }, () => ({}))
    app.get('/public', { config: { tokens: false } }, () => ({}))
    app.get('/public/guarded', { config: { tokens: false }, onRequest: app.requireAccessToken }, () => ({}))
  })
  await logIn(browser)
  t.equal((await browser.get('/guarded')).status, 401)
  t.equal((await browser.get('/repos')).status, 200, 'it is only a hook')
  await logIn(browser, '/github/login')
  clock.now += 61
  await browser.get('/public')
  t.strictSame([first.refreshes, github.refreshes], [0, 0], 'a route that wants no tokens')
  await browser.get('/repos')
  t.strictSame([first.refreshes, github.refreshes], [0, 1])
  t.equal((await browser.get('/guarded')).status, 200)
  t.strictSame([first.refreshes, github.refreshes], [0, 1])
  t.equal((await browser.get('/public/guarded')).status, 200, 'the guard guards all the same')
  t.strictSame([first.refreshes, github.refreshes], [1, 1])
})

test('a provider that nobody registered is a 500 that names those there are', async (t) => {
  const { browser } = await startTwo(t, (app) => {
    app.get('/unknown', async (request) => await request.accessToken({ provider: 'gitlab' }))
    app.get('/unknown/optional', async (request) => await request.accessToken({ provider: 'gitlab', optional: true }))
    for (const method of ['get', 'clear', 'revoke'] as const) app.get(`/unknown/${method}`, async (request) => await request.tokens[method]({ provider: 'gitlab' }))
    app.get('/unknown/save', async (request) => await request.tokens.save({ access_token: 'x', token_type: 'bearer' }, { provider: 'gitlab' }))
  })
  for (const path of ['/unknown', '/unknown/optional', '/unknown/get', '/unknown/clear', '/unknown/revoke', '/unknown/save']) {
    const answer = await browser.get(path)
    t.equal(answer.status, 500, path)
    t.match(answer.json, { code: 'FST_TOKEN_UNKNOWN_PROVIDER', message: /gitlab.*default, github/ })
  }
})

test('two siblings may each have a registration of their own, and the app around them has none', async (t) => {
  const first = await startServer(t, { user: 'alice' })
  const second = await startServer(t, { user: 'bob' })
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  for (const [prefix, server] of [['/one', first], ['/two', second]] as const) {
    await app.register(async (context) => {
      await context.register(tokenManagement, registration(server, prefix.slice(1)))
      context.get('/token', async (request) => ({ token: await request.accessToken() }))
    }, { prefix })
  }
  app.get('/outside', (request) => ({ has: 'accessToken' in request }))
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const browser = new Browser(origin)
  t.strictSame((await browser.get('/outside')).json, { has: false })
  for (const [prefix, server, user] of [['/one', first, 'alice'], ['/two', second, 'bob']] as const) {
    t.equal((await browser.get(`${prefix}/token`)).status, 401)
    await logIn(browser, `${prefix}${prefix}/login`)
    const { json } = await browser.get(`${prefix}/token`)
    t.equal(server.whoHas(String(json.token))?.sub, user)
  }
})

test('one encapsulated registration may keep its sessions on the server and its sibling in a cookie, each with issuer and key of its own', async (t) => {
  const servers = { cookie: await startServer(t, { user: 'alice', expiresIn: 60 }), session: await startServer(t, { user: 'bob', expiresIn: 60 }) }
  const store = new JsonSessionStore()
  const clock = { now: Date.now() / 1000 }
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  for (const [kind, server] of Object.entries(servers)) {
    await app.register(async (context) => {
      if (kind === 'session') {
        await context.register(cookie)
        await context.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
      }
      const key = Buffer.alloc(32, kind)
      const options = registration(server, 'default', () => clock.now)
      await context.register(tokenManagement, { ...options, session: { key }, login: { ...options.login, callbackUri: `http://127.0.0.1:3000/${kind}/callback` } })
      context.get('/token', async (request) => ({ token: await request.accessToken() }))
    }, { prefix: `/${kind}` })
  }
  const browser = new Browser(await app.listen({ port: 0, host: '127.0.0.1' }))
  const user = async (kind: keyof typeof servers) => servers[kind].whoHas(String((await browser.get(`/${kind}/token`)).json.token))?.sub
  await logIn(browser, '/cookie/default/login')
  await logIn(browser, '/session/default/login')
  t.strictSame([...browser.cookies.keys()].sort(), ['sessionId', 'tokens'])
  t.strictSame([await user('cookie'), await user('session')], ['alice', 'bob'])

  clock.now += 61
  t.strictSame([await user('cookie'), await user('session')], ['alice', 'bob'])
  t.strictSame([servers.cookie.refreshes, servers.session.refreshes], [1, 1])
  t.strictSame((await browser.get('/session/token')).setCookies.filter((each) => each.startsWith('tokens')), [], 'neither writes for the other')

  t.equal((await browser.post('/cookie/default/logout')).status, 200)
  t.strictSame([await user('cookie'), await user('session')], [undefined, 'bob'])
  await logIn(browser, '/cookie/default/login')
  t.equal((await browser.post('/session/default/logout')).status, 200)
  t.strictSame([await user('cookie'), await user('session')], ['alice', undefined])
})

test('of two providers in one app each has the store that was there when it was registered', async (t) => {
  const github = await startServer(t, { user: 'octocat' })
  const store = new JsonSessionStore()
  const { browser, first } = await startTwo(t, async (app) => {
    await app.register(cookie)
    await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
    await app.register(tokenManagement, registration(github, 'server'))
    app.get('/server/token', async (request) => ({ token: await request.accessToken({ provider: 'server' }) }))
    app.get('/late', async (request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200).flushHeaders()
      const late = async (provider: string) => await request.accessToken({ provider, forceRenewal: true }).then(() => 'refreshed', (error) => error.code)
      reply.raw.end(`${await late('default')} ${await late('server')}`)
    })
  })
  await logIn(browser)
  await logIn(browser, '/server/login')
  t.strictSame([...browser.cookies.keys()].sort(), ['sessionId', 'tokens'])
  t.equal(first.whoHas(String((await browser.get('/token')).json.token))?.sub, 'alice')
  t.equal(github.whoHas(String((await browser.get('/server/token')).json.token))?.sub, 'octocat')
  t.equal((await browser.get('/late')).text, 'FST_TOKEN_HEADERS_SENT refreshed', 'what a store can do once the headers are sent is its own')
  await browser.post('/auth/logout')
  t.equal((await browser.get('/token')).status, 401)
  t.equal((await browser.get('/server/token')).status, 200)
})

test('providers of one app may have keys of their own: the one cookie opens with the other key no more than under the other name', async (t) => {
  const first = await startServer(t, { user: 'alice' })
  const second = await startServer(t, { user: 'bob' })
  const started = await startApp(t, first, {
    login: { callbackUri: 'http://127.0.0.1:3000/auth/callback', scope: ['openid'] },
    routes: async (app) => {
      await app.register(tokenManagement, { ...registration(second, 'second'), session: { key: Buffer.alloc(32, '2') } })
      app.get('/second/token', async (request) => ({ token: await request.accessToken({ provider: 'second' }) }))
    }
  })
  const browser = new Browser(started.origin)
  await logIn(browser)
  await logIn(browser, '/second/login')
  const swapped = new Browser(started.origin, [['tokens', browser.cookies.get('second-tokens') ?? ''], ['second-tokens', browser.cookies.get('tokens') ?? '']])
  for (const path of ['/token', '/second/token']) {
    t.equal((await browser.get(path)).status, 200)
    t.equal((await swapped.clone().get(path)).status, 401)
  }
})

test('one store of the app serves all providers, and is told which', async (t) => {
  const second = await startServer(t, { user: 'bob' })
  const first = await startServer(t, { user: 'alice' })
  const sessions = new Map<string, TokenSet>()
  const { app } = await startApp(t, first, {
    session: {},
    before: (app) => app.decorate('tokenStore', {
      get: ({ provider }: StoreContext) => sessions.get(provider) ?? null,
      set: ({ provider }: StoreContext, tokens: TokenSet) => { sessions.set(provider, tokens) },
      clear: ({ provider }: StoreContext) => { sessions.delete(provider) }
    }),
    routes: async (app) => {
      await app.register(tokenManagement, registration(second, 'second'))
      app.post('/clear/:provider', async (request) => await request.tokens.clear(request.params as { provider: string }))
      app.post<{ Body: { access_token: string, token_type: string }, Params: { provider: string } }>('/save/:provider', async ({ tokens, body, params }) => await tokens.save(body, params))
    }
  })
  for (const [provider, server] of [['default', first], ['second', second]] as const) {
    t.equal((await app.inject({ method: 'POST', url: `/save/${provider}`, payload: await server.issue() })).statusCode, 200)
  }
  t.strictSame([...sessions.keys()], ['default', 'second'])
  t.equal((await app.inject({ method: 'POST', url: '/clear/second' })).statusCode, 200)
  t.strictSame([...sessions.keys()], ['default'])
})
