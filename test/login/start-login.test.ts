import type { FastifyInstance } from 'fastify'
import { test } from 'tap'
import tokenManagement, { type UnauthenticatedError } from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, logIn, startLogin, startLoginApp } from '../support/login-flow.ts'
import { sessionKey, startApp } from '../support/start-app.ts'

/** The error handler of docs/login.md. */
function sendToLogin (app: FastifyInstance): void {
  app.setErrorHandler<UnauthenticatedError>((error, _request, reply) => {
    if (error.loginPath !== undefined) return reply.startLogin({ provider: error.provider })
    return reply.send(error)
  })
}

test('reply.startLogin() sends a browser to the provider and back to the page that it asked for', async (t) => {
  const { browser, server } = await startLoginApp(t, {
    routes: (app) => {
      app.get('/text', async (_request, reply) => await reply.startLogin({ scope: ' openid  payments' }))
      for (const [path, scope] of [['/odd', ['a b']], ['/none', null], ['/number', 5]]) app.get(String(path), async (_request, reply) => await Reflect.apply(reply.startLogin, reply, [{ scope }]))
      app.get('/step-up', async (_request, reply) => await reply.startLogin({ scope: ['openid', 'payments'], parameters: { acr_values: 'mfa', prompt: 'login' } }))
      app.post('/begin', async (_request, reply) => await reply.startLogin())
      app.get('/away', async (_request, reply) => await reply.startLogin({ returnTo: '//evil.example' }))
    }
  })
  const url = await startLogin(browser, '/step-up?amount=7')
  t.match(Object.fromEntries(url.searchParams), { scope: 'openid payments', acr_values: 'mfa', prompt: 'login', nonce: /./ })
  const answer = await browser.get(await authorize(url))
  t.match([answer.status, answer.headers.get('location')], [303, '/step-up?amount=7'])
  t.match(server.whoHas(String((await browser.get('/token')).json.token)), { scope: 'openid payments' })

  t.equal((await startLogin(browser, '/text')).searchParams.get('scope'), 'openid payments', 'as text, too')
  t.equal((await startLogin(browser, '/none')).searchParams.get('scope'), 'openid offline_access orders')
  for (const path of ['/odd', '/number']) t.match((await browser.get(path)).json, { code: 'FST_TOKEN_INVALID_PARAMETERS' }, path)

  const begun = await browser.send('POST', '/begin', {})
  t.equal(begun.status, 303)
  t.equal((await browser.get(await authorize(new URL(begun.headers.get('location') ?? '')))).headers.get('location'), '/', 'nobody comes back to a POST')
  t.equal((await logIn(browser, '/away')).headers.get('location'), '/away', 'nor leaves the app')
})

test('a login without openid asks for no nonce, whatever the option says', async (t) => {
  const { browser } = await startLoginApp(t, { routes: (app) => { app.get('/plain', async (_request, reply) => await reply.startLogin({ scope: ['orders'] })) } })
  const url = await startLogin(browser, '/plain')
  t.equal(url.searchParams.has('nonce'), false)
  t.equal((await browser.get(await authorize(url))).status, 303)
})

test('reply.startLogin() takes no parameter that is the plugin\'s own, and no provider that has no login', async (t) => {
  const { browser } = await startLoginApp(t, {
    routes: (app) => {
      app.get('/reserved', async (_request, reply) => await reply.startLogin({ parameters: { redirect_uri: 'https://evil.example' } }))
      app.get('/nobody', async (_request, reply) => await reply.startLogin({ provider: 'nobody' }))
    }
  })
  t.match(await browser.get('/reserved'), { status: 500, json: { code: 'FST_TOKEN_HOOK_FAILED', message: /startLogin\(\) sets redirect_uri/ } })
  t.match(await browser.get('/nobody'), { status: 500, json: { code: 'FST_TOKEN_INVALID_PARAMETERS', message: /no registration with the name nobody has the option login/ } })
  t.equal(browser.cookies.size, 0)
})

test('a 401 names the provider and where a browser logs in, and three lines of an error handler do the rest', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const { origin, app } = await startApp(t, server, {
    login: { callbackUri, scope: ['openid'] },
    before: sendToLogin,
    routes: async (app) => {
      await app.register(tokenManagement, {
        name: 'github',
        issuer: server.issuer,
        clientId: 'web',
        clientSecret: server.settings.clientSecret,
        session: { key: sessionKey },
        login: { callbackUri: 'http://127.0.0.1:3000/auth/github/callback', scope: ['repo'] }
      })
      app.get('/repos', async (request) => ({ token: await request.accessToken({ provider: 'github' }) }))
      app.get('/guarded', { onRequest: app.requireAccessToken, config: { tokens: { provider: 'github' } } }, async () => ({ secret: true }))
    }
  })
  const browser = new Browser(origin)
  for (const [path, loginPath] of [['/token', '/auth/login'], ['/repos', '/auth/github/login'], ['/guarded', '/auth/github/login']] as const) {
    t.match(await browser.get(path, { 'sec-fetch-mode': 'cors' }), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED', loginPath } })
    t.equal((await browser.get(loginPath)).status, 303, 'F24 each has its own')
  }
  const answer = await logIn(browser, '/repos?page=2')
  t.equal(answer.headers.get('location'), '/repos?page=2')
  t.strictSame([...browser.cookies.keys()].filter((name) => !name.includes('login-')), ['github-tokens'])
  t.equal((await browser.get('/repos')).status, 200)
  t.equal((await browser.get('/token')).status, 303)
  t.equal((await app.inject({ method: 'POST', url: '/auth/github/logout', headers: { cookie: browser.header, 'sec-fetch-site': 'same-origin' } })).statusCode, 200)
})

test('F37 under a guard for the whole app the plugin\'s own routes stay open, and no other', async (t) => {
  const { browser } = await startLoginApp(t, {
    routes: (app) => {
      app.addHook('onRequest', app.requireAccessToken)
      app.get('/closed', { config: { tokens: false } }, async () => ({}))
    }
  })
  t.equal((await browser.get('/closed')).status, 401)
  const answer = await logIn(browser, '/auth/login?returnTo=/closed')
  t.equal(answer.status, 303)
  t.equal((await browser.get('/closed')).status, 200)
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.equal((await browser.get('/closed')).status, 401)
})

test('F37 an error handler that sends everybody to the login sends nobody in a circle', async (t) => {
  const { browser } = await startLoginApp(t, { before: sendToLogin, routes: (app) => { app.addHook('onRequest', app.requireAccessToken) } })
  t.equal((await browser.get('/token')).status, 303)
  t.equal((await logIn(browser, '/token')).headers.get('location'), '/token')
  t.equal((await browser.get('/token')).status, 200)
})

test('the plugin\'s own routes are no part of the app\'s API', async (t) => {
  const shown: Array<[string, unknown]> = []
  await startLoginApp(t, { before: (app) => { app.addHook('onRoute', ({ url, schema }) => { shown.push([url, schema]) }) } })
  const own = shown.filter(([url]) => url.startsWith('/auth/'))
  t.ok(own.length >= 5)
  t.ok(own.every(([, schema]) => (schema as { hide?: boolean }).hide === true))
})
