import fastifyAuth from '@fastify/auth'
import fastifyOauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, startLogin } from '../support/login-flow.ts'
import { startApp, type TestAppOptions } from '../support/start-app.ts'

async function startServer (t: Test): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  return server
}

const json = { 'content-type': 'application/json' }

/** What had been refreshed when each stage of a request was reached. */
function stages (server: AuthorizationServer, refresh: TestAppOptions['refresh']) {
  const seen: Record<string, number> = {}
  const note = (stage: string) => async () => { seen[stage] = server.refreshes }
  const routes = (app: FastifyInstance) => app.post('/stages', {
    onRequest: note('onRequest'),
    preParsing: note('preParsing'),
    preValidation: note('preValidation'),
    preHandler: note('preHandler')
  }, async (request) => {
    await note('handler')()
    await request.accessToken()
    await note('accessToken')()
    return {}
  })
  return { seen, options: { ...refresh && { refresh }, routes } }
}

for (const [refresh, expected] of [
  [undefined, { onRequest: 1, preParsing: 1, preValidation: 1, preHandler: 1, handler: 1, accessToken: 1 }],
  ['onRequest', { onRequest: 1, preParsing: 1, preValidation: 1, preHandler: 1, handler: 1, accessToken: 1 }],
  ['preHandler', { onRequest: 0, preParsing: 0, preValidation: 0, preHandler: 1, handler: 1, accessToken: 1 }],
  ['manual', { onRequest: 0, preParsing: 0, preValidation: 0, preHandler: 0, handler: 0, accessToken: 1 }]
] as const) {
  test(`with refresh: ${refresh ?? 'left out'} an expired token is renewed ${{ preHandler: 'before the handler', manual: 'when it is asked for' }[String(refresh)] ?? 'before anything else'}`, async (t) => {
    const server = await startServer(t)
    const { seen, options } = stages(server, refresh)
    const { login, clock } = await startApp(t, server, options)
    const browser = await login()
    clock.now += 61
    t.equal((await browser.post('/stages')).status, 200)
    t.strictSame(seen, expected)
  })
}

test('refreshTokens on a route renews there and nowhere else', async (t) => {
  const server = await startServer(t)
  const { login, clock } = await startApp(t, server, {
    refresh: 'manual',
    routes: (app) => {
      app.get('/plain', () => ({}))
      app.get('/fresh', { onRequest: app.refreshTokens }, () => ({}))
    }
  })
  const browser = await login()
  clock.now += 61
  const plain = await browser.get('/plain')
  t.strictSame([server.refreshes, plain.setCookies.length], [0, 0])
  const fresh = await browser.get('/fresh')
  t.strictSame([server.refreshes, fresh.setCookies.length], [1, 1])
})

test('the hook fails no request: the handler decides what it needs', async (t) => {
  const server = await startServer(t)
  const { login, clock, origin, log } = await startApp(t, server, { routes: (app) => app.get('/page', () => ({ page: true })) })
  t.strictSame((await new Browser(origin).get('/page')).json, { page: true })

  const browser = await login()
  clock.now += 61
  for (const fault of [faults.empty(503), faults.oauthError('invalid_client', 401), faults.html(200), faults.oauthError('invalid_grant')]) {
    server.clearFaults()
    server.fault(fault, Infinity)
    t.equal((await browser.get('/page')).status, 200)
    clock.now += 60
  }
  t.equal((await browser.get('/token')).status, 401)
  t.ok(log.some((line) => line.includes('There is no current access token for this request')))
  t.notOk(log.some((line) => line.includes('"level":30') && line.includes('There is no current access token')), 'at debug')
})

test('the hook and the handler of one request share one refresh', async (t) => {
  const server = await startServer(t)
  const { login, clock } = await startApp(t, server, {
    routes: (app) => app.get('/twice', { onRequest: [app.refreshTokens, app.requireAccessToken], preHandler: app.refreshTokens }, async (request) => [
      await request.accessToken(), await request.accessToken(), (await request.tokens.get())?.accessTokens[0]?.accessToken
    ])
  })
  const browser = await login()
  clock.now += 61
  const tokens: unknown = JSON.parse((await browser.get('/twice')).text)
  t.equal(new Set(Array.isArray(tokens) ? tokens : []).size, 1)
  t.equal(server.refreshes, 1)
})

test('requireAccessToken ends a request before its body is parsed', async (t) => {
  const server = await startServer(t)
  const { login, origin, clock } = await startApp(t, server, {
    refresh: 'manual',
    routes: (app) => {
      app.post('/open', () => ({}))
      app.post('/guarded', { onRequest: app.requireAccessToken }, () => ({}))
    }
  })
  const stranger = new Browser(origin)
  t.equal((await stranger.send('POST', '/open', json, '{')).status, 400)
  const answer = await stranger.send('POST', '/guarded', json, '{')
  t.equal(answer.status, 401)
  t.match(answer.json, { code: 'FST_TOKEN_UNAUTHENTICATED' })

  const browser = await login()
  t.equal((await browser.send('POST', '/guarded', json, '{')).status, 400)
  t.equal((await browser.send('POST', '/guarded', json, '{}')).status, 200)

  clock.now += 61
  server.fault(faults.empty(500), Infinity)
  const down = await browser.send('POST', '/guarded', json, '{')
  t.equal(down.status, 503)
  t.match(down.json, { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
  t.match(down.headers.get('retry-after'), /^[1-9]\d*$/)
})

test('requireAccessToken guards with the resource and scope of the route', async (t) => {
  const server = await startServer(t)
  const resource = 'https://api.example.com/orders'
  const { login } = await startApp(t, server, {
    routes: (app) => app.get('/orders', { config: { tokens: { resource } }, onRequest: app.requireAccessToken }, async (request) => ({ token: await request.accessToken({ resource }) }))
  })
  const browser = await login()
  const { json } = await browser.get('/orders')
  t.equal(server.whoHas(String(json.token))?.resource, resource)
  t.equal(server.refreshes, 1)
})

test('requireAccessToken works with @fastify/auth', async (t) => {
  const server = await startServer(t)
  const { login, origin } = await startApp(t, server, {
    before: (app) => app.register(fastifyAuth),
    routes: (app) => {
      const hasApiKey = async (request: FastifyRequest) => { if (request.headers['x-api-key'] !== 'key') throw new Error('no key') }
      app.get('/either', { onRequest: app.auth([hasApiKey, app.requireAccessToken]) }, () => ({}))
      app.get('/both', { onRequest: app.auth([hasApiKey, app.requireAccessToken], { relation: 'and' }) }, () => ({}))
    }
  })
  const stranger = new Browser(origin)
  const refused = await stranger.get('/either')
  t.equal(refused.status, 401)
  t.match(refused.json, { code: 'FST_TOKEN_UNAUTHENTICATED' })
  t.equal((await stranger.get('/either', { 'x-api-key': 'key' })).status, 200)
  t.equal((await stranger.get('/both', { 'x-api-key': 'key' })).status, 401)
  const browser = await login()
  t.equal((await browser.get('/either')).status, 200)
  t.equal((await browser.get('/both', { 'x-api-key': 'key' })).status, 200)
})

test('a hook that asks before the plugin is registered is told so', async (t) => {
  const server = await startServer(t)
  for (const ask of [
    (request: FastifyRequest) => request.accessToken(),
    (request: FastifyRequest) => request.accessToken({ optional: true }),
    (request: FastifyRequest) => request.tokens.get()
  ]) {
    const { origin } = await startApp(t, server, { before: (app) => { app.addHook('onRequest', async (request) => { await ask(request) }) } })
    const answer = await new Browser(origin).get('/token')
    t.equal(answer.status, 500)
    t.match(answer.json, { message: /asked for too early: register fastify-token-management before the hook/ })
  }
})

test('a request that an earlier hook has ended is answered all the same', async (t) => {
  const server = await startServer(t)
  const { origin } = await startApp(t, server, { before: (app) => { app.addHook('onRequest', async (_request, reply) => reply.code(418).send({ tea: true })) } })
  t.strictSame((await new Browser(origin).get('/token')).json, { tea: true })
})

test('a header of the app that cannot be sent is a 500 as without the plugin, and no unhandled rejection', async (t) => {
  const server = await startServer(t)
  const { login, clock } = await startApp(t, server, {
    routes: (app) => {
      app.get('/asynchronous', async (_request, reply) => { reply.header('x-broken', 'two\nlines'); return {} })
      app.get('/synchronous', (_request, reply) => { reply.header('x-broken', 'two\nlines').send({}) })
    }
  })
  const browser = await login()
  for (const path of ['/asynchronous', '/synchronous']) {
    t.match(await browser.get(path), { status: 500, json: { code: 'ERR_INVALID_CHAR' } })
    clock.now += 61
    t.match(await browser.get(path), { status: 500, json: { code: 'ERR_INVALID_CHAR' } }, 'after a refresh')
    t.equal((await browser.get('/token')).status, 200)
  }
})

test('a 404 refreshes nothing but what the app asks for', async (t) => {
  const server = await startServer(t)
  const { login, clock } = await startApp(t, server, { refresh: 'manual' })
  const browser = await login()
  clock.now += 61
  t.equal((await browser.get('/nowhere')).status, 404)
  t.equal(server.refreshes, 0)
})

/** An app that logs in with @fastify/oauth2 by itself, as its README says. */
function ownLogin (server: AuthorizationServer, given: 'token' | 'response') {
  return async (app: FastifyInstance) => {
    await app.register(fastifyOauth2, {
      name: 'idp',
      scope: ['openid', 'offline_access'],
      credentials: { client: { id: server.settings.clientId, secret: server.settings.clientSecret } },
      discovery: { issuer: server.issuer },
      startRedirectPath: '/own/login',
      callbackUri
    })
    app.get('/auth/callback', async (request, reply) => {
      const answer = await app.getDecorator<OAuth2Namespace>('idp').getAccessTokenFromAuthorizationCodeFlow(request, reply)
      await request.tokens.save(given === 'token' ? answer : answer.token)
      return reply.redirect('/')
    })
  }
}

for (const given of ['token', 'response'] as const) {
  test(`an app that uses @fastify/oauth2 by itself saves the ${given} that it returns`, async (t) => {
    const server = await startServer(t)
    const { origin, clock } = await startApp(t, server, { routes: ownLogin(server, given) })
    const browser = new Browser(origin)
    const started = await browser.get('/own/login')
    t.equal(started.status, 302)
    const answer = await browser.get(await authorize(new URL(started.headers.get('location') ?? '')))
    t.equal(answer.status, 302)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.strictSame([...browser.cookies.keys()], ['__Host-tokens'])

    const { json } = await browser.get('/token')
    t.equal(server.whoHas(String(json.token))?.sub, 'alice')
    clock.now += 61
    const refreshed = await browser.get('/token')
    t.equal(refreshed.status, 200)
    t.not(refreshed.json.token, json.token)
    t.equal(server.refreshes, 1)
    await t.rejects(startLogin(browser), 'there is no login route of the plugin')
  })
}

test('R8 what cannot be a token is not saved', async (t) => {
  const server = await startServer(t)
  const { app } = await startApp(t, server, { routes: (app) => app.post('/any', async (request) => { await Reflect.apply(request.tokens.save, request.tokens, [request.body]) }) })
  for (const payload of [{}, { access_token: '', token_type: 'bearer' }, { access_token: 'x' }, { access_token: 'x', token_type: 'mac' }, { access_token: 7, token_type: 'bearer' }]) {
    const answer = await app.inject({ method: 'POST', url: '/save', payload })
    t.equal(answer.statusCode, 502, JSON.stringify(payload))
    t.match(answer.json(), { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE' })
    t.same(answer.cookies, [])
  }
  for (const payload of ['null', '"x"', '5', '[]', '{"token":null}', '{"token":5}']) {
    const answer = await app.inject({ method: 'POST', url: '/any', headers: json, payload })
    t.match([answer.statusCode, answer.json().code], [502, 'FST_TOKEN_SERVICE_BAD_RESPONSE'], payload)
  }
  const saved = await app.inject({ method: 'POST', url: '/save', payload: { access_token: 'x', token_type: 'bEARER', expires_in: '300', unknown: 1 } })
  t.equal(saved.statusCode, 200)
})
