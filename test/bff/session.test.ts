/* What a page asks: who is logged in, and for how long. */
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import tokenManagement, { type TokenManagementOptions, type TokenSet } from '../../lib/index.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { logIn, startLoginApp, type LoginAppOptions } from '../support/login-flow.ts'
import { startSessionApp } from '../support/session-app.ts'
import { sessionKey, startApp } from '../support/start-app.ts'

/** As a page's fetch sends it. */
const fromPage = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'x-csrf': '1' }
const ask = async (browser: Browser, query = '', path = '/auth/session') => await browser.get(path + query, fromPage)

async function start (t: Test, options: LoginAppOptions = {}) {
  return await startLoginApp(t, { bff: { session: true }, ...options, server: { idTokenClaims: { name: 'Alice', phone_number: '1' }, ...options.server } })
}

async function startLoggedIn (t: Test, options: LoginAppOptions = {}) {
  const started = await start(t, options)
  await logIn(started.browser)
  started.server.forgetRequests()
  return started
}

test('a page is told who is logged in, for how long, and where to log in and out; never a token, and nobody is asked', async (t) => {
  const { browser, server } = await startLoggedIn(t, { routes: (app) => { app.get('/set', { config: { tokens: false } }, async (request) => await request.tokens.get()) } })
  const { accessTokens, refreshToken, idToken, sessionId } = (await browser.get('/set')).json as unknown as TokenSet
  const { status, json, text, headers, setCookies } = await ask(browser)
  t.equal(status, 200)
  t.strictSame(Object.keys(json), ['claims', 'expiresIn', 'loginPath', 'logoutPath'])
  t.match(json, { claims: { sub: server.settings.user, name: 'Alice', sid: String, iat: Number }, loginPath: '/auth/login', logoutPath: '/auth/logout' })
  t.equal(Object(json.claims).phone_number, undefined, 'what session.claims does not name')
  t.ok(Number(json.expiresIn) > 86_390 && Number(json.expiresIn) <= 86_400, String(json.expiresIn))
  t.equal(headers.get('cache-control'), 'no-store')
  t.match(headers.get('content-type'), /^application\/json/)
  t.strictSame(setCookies, [])
  for (const secret of [accessTokens[0]?.accessToken, refreshToken, idToken, sessionId]) t.notOk(text.includes(secret ?? 'none'), 'R14')
  t.equal(server.requests.length, 0)
})

test('who is not logged in gets 401 and the way to the login, or null where the option says so', async (t) => {
  const refusing = await start(t)
  const { status, json, headers } = await ask(refusing.browser)
  t.equal(status, 401)
  t.strictSame({ ...json, message: '' }, { statusCode: 401, code: 'FST_TOKEN_UNAUTHENTICATED', error: 'Unauthorized', message: '', provider: 'default', loginPath: '/auth/login' })
  t.equal(headers.get('cache-control'), 'no-store')
  const telling = await start(t, { bff: { session: { anonymous: 'null' } } })
  const answer = await ask(telling.browser)
  t.match([answer.status, answer.text, answer.headers.get('content-type'), answer.headers.get('cache-control')], [200, 'null', /^application\/json/, 'no-store'])
  await logIn(telling.browser)
  t.match((await ask(telling.browser)).json, { claims: { name: 'Alice' } })
  t.strictSame([...refusing.errors, ...telling.errors], [], 'it is an answer, and no error of the app')
})

test('R44 no page of another site, and no sibling subdomain, is told who is logged in', async (t) => {
  const { browser, server } = await startLoggedIn(t)
  for (const [headers, status] of [
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{ 'x-csrf': '1' }, 200],
    [{ 'sec-fetch-site': 'same-site', 'x-csrf': '1' }, 403],
    [{ 'sec-fetch-site': 'cross-site', 'x-csrf': '1' }, 403],
    [{ 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }, 403],
    [{ origin: 'https://evil.example', 'x-csrf': '1' }, 403],
    [{}, 403]
  ] as const) {
    const answer = await browser.send('GET', '/auth/session', { ...headers })
    t.equal(answer.status, status, JSON.stringify(headers))
    t.equal(answer.headers.get('cache-control'), 'no-store')
    if (status === 403) t.notMatch(answer.text, 'Alice')
  }
  for (const method of ['HEAD', 'POST', 'OPTIONS', 'DELETE'] as const) t.equal((await browser.send(method, '/auth/session', fromPage)).status, 404, method)
  t.equal(server.requests.length, 0)
})

test('it answers while the token service is down and the access token has expired', async (t) => {
  const { browser, server, clock } = await startLoggedIn(t)
  server.fault(faults.empty(503), Infinity)
  clock.now += 10_000
  t.equal((await browser.get('/token')).status, 503)
  server.forgetRequests()
  const { status, json } = await ask(browser)
  t.equal(status, 200)
  t.match(json, { claims: { name: 'Alice' } })
  t.ok(Math.abs(Number(json.expiresIn) - 76_400) <= 2, String(json.expiresIn))
  t.equal(server.requests.length, 0)
})

test('of a session that is over, dead, or was logged out there is nothing to tell', async (t) => {
  const { browser, login, server, clock } = await startLoggedIn(t, { session: { key: sessionKey, inactivityDuration: 1000 } })
  const copy = browser.clone()
  await browser.post('/auth/logout')
  for (const each of [browser, copy]) t.equal((await ask(each)).status, 401, 'logged out')

  const dead = await login()
  for (const { id } of server.families) server.end(id)
  clock.now += 400
  t.equal((await dead.get('/token')).status, 401)
  t.equal((await ask(dead)).status, 401, 'dead')

  const idle = await login()
  clock.now += 1000
  const over = await ask(idle)
  t.equal(over.status, 401, 'over')
  t.match(over.setCookies, [/^tokens=; Max-Age=0/])
  t.equal((await ask(new Browser(browser.origin, [['tokens', 'no session']]))).status, 401, 'invented')
})

test('expiresIn is the end by inactivity or the absolute one, whichever comes first', async (t) => {
  const { browser, clock } = await startLoggedIn(t, { session: { key: sessionKey, inactivityDuration: 1000, absoluteDuration: 1800 } })
  const began = clock.now
  const left = async () => Number((await ask(browser)).json.expiresIn)
  const close = (actual: number, expected: number) => t.ok(Math.abs(actual - expected) <= 2, `${actual} is about ${expected}`)
  close(await left(), 1000)
  clock.now = began + 400
  close(await left(), 600)
  clock.now = began + 520
  const { json, setCookies } = await ask(browser)
  close(Number(json.expiresIn), 1000)
  t.match(setCookies, [/^tokens=.*Max-Age=1000/], 'its use is written down by the very answer that tells of it')
  clock.now = began + 1100
  close(await left(), 700)
  clock.now = began + 1750
  close(await left(), 50)
  clock.now = began + 1801
  t.equal((await ask(browser)).status, 401)
})

test('with slide=false a page that asks again and again does not keep a session alive', async (t) => {
  const { login, clock } = await start(t, { session: { key: sessionKey, inactivityDuration: 1000 } })
  const asking = await login()
  const looking = await login()
  const began = clock.now
  for (let minutes = 1; minutes <= 16; minutes++) {
    clock.now = began + minutes * 60
    const { json, setCookies } = await ask(looking, '?slide=false')
    t.ok(Math.abs(Number(json.expiresIn) - (1000 - minutes * 60)) <= 2, String(json.expiresIn))
    t.strictSame(setCookies, [])
    t.equal((await ask(asking)).status, 200)
  }
  clock.now = began + 1001
  t.equal((await ask(looking, '?slide=false')).status, 401)
  t.equal((await ask(asking)).status, 200)
})

test('a cookie that a refresh has left behind is put right by a page that asks, and left as it is with slide=false', async (t) => {
  const { browser, clock, server } = await startLoggedIn(t)
  const late = browser.clone()
  clock.now += 301
  t.equal((await browser.get('/token')).status, 200)
  const looked = await ask(late, '?slide=false')
  t.match(looked.json, { claims: { name: 'Alice' } })
  t.strictSame(looked.setCookies, [])
  const asked = await ask(late)
  t.match(asked.json, { claims: { name: 'Alice' } })
  t.equal(late.cookies.get('tokens'), browser.cookies.get('tokens'), 'the same bytes')
  t.equal(server.refreshes, 1)
})

test('a logout that crosses the answer wins: no cookie of the ended session goes out', async (t) => {
  let logOut = async () => {}
  const { browser, clock } = await startLoggedIn(t, {
    session: { key: sessionKey, inactivityDuration: 1000 },
    before: (app) => app.addHook('preSerialization', async (_request, _reply, payload) => { await logOut(); return payload })
  })
  const other = browser.clone()
  clock.now += 600
  logOut = async () => { logOut = async () => {}; await other.post('/auth/logout') }
  t.strictSame((await ask(browser)).setCookies, [])
})

test('each provider has an endpoint of its own, with its own paths', async (t) => {
  const { browser, server, app } = await start(t, {
    name: 'main',
    bff: { session: { path: '/who' } },
    login: { callbackUri: 'http://127.0.0.1:3000/shop/auth/callback', callbackPath: '/auth/callback' },
    server: { redirectUris: ['http://127.0.0.1:3000/shop/auth/callback'] },
    logout: false,
    routes: async (app) => {
      await app.register(tokenManagement, {
        name: 'github',
        metadata: { issuer: server0, token_endpoint: `${server0}/token`, authorization_endpoint: `${server0}/authorize` },
        clientId: 'web',
        clientSecret: 's',
        session: { key: sessionKey },
        login: { callbackUri: 'http://127.0.0.1:3000/github/callback', scope: ['user'] },
        bff: { session: { anonymous: 'null' } }
      })
    }
  })
  const saved = await app.inject({ method: 'POST', url: '/save', payload: await server.issue() })
  for (const { name, value } of saved.cookies) browser.cookies.set(name, value)
  t.match((await ask(browser, '', '/who')).json, { claims: { name: 'Alice' }, loginPath: '/shop/auth/main/login' })
  t.notOk('logoutPath' in (await ask(browser, '', '/who')).json)
  t.equal((await ask(browser, '', '/auth/github/session')).text, 'null')
  t.equal((await ask(browser)).status, 404)
})
const server0 = 'https://github.example'

test('it is below the prefix of the context, and there without a login', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const options: TokenManagementOptions = { metadata: { issuer: server0, token_endpoint: `${server0}/token` }, clientId: 'web', clientSecret: 's', session: { key: sessionKey }, bff: { session: true } }
  await app.register(async (context) => {
    await context.register(tokenManagement, options)
    context.get('/save', async (request) => { await request.tokens.save({ access_token: 'x', token_type: 'Bearer' }); return {} })
  }, { prefix: '/bff' })
  const { cookies } = await app.inject('/bff/save')
  const answer = await app.inject({ url: '/bff/auth/session', headers: fromPage, cookies: Object.fromEntries(cookies.map(({ name, value }) => [name, value])) })
  t.strictSame({ ...answer.json(), expiresIn: 0 }, { claims: {}, expiresIn: 0 })
  t.equal((await app.inject({ url: '/auth/session', headers: fromPage })).statusCode, 404)
})

test('there is none unless it is asked for', async (t) => {
  for (const bff of [undefined, {}, { session: false }]) {
    const { browser } = await start(t, { bff })
    t.equal((await ask(browser)).status, 404)
  }
})

test('sessions on the server are told of in the same way', async (t) => {
  const { browser, clock } = await startSessionApp(t, { bff: { session: true }, session: { inactivityDuration: 1000, absoluteDuration: 5000 } })
  await logIn(browser)
  const began = clock.now
  const left = async (query = '') => Number((await ask(browser, query)).json.expiresIn)
  const close = (actual: number, expected: number) => t.ok(Math.abs(actual - expected) <= 2, `${actual} is about ${expected}`)
  close(await left(), 1000)
  clock.now = began + 600
  close(await left('?slide=false'), 400)
  close(await left(), 1000)
  clock.now = began + 1590
  close(await left('?slide=false'), 10)
  clock.now = began + 1601
  t.equal((await ask(browser)).status, 401)
})

test('of a store that cannot tell, the end of the session is the absolute one; where it fails, nobody is taken for logged out', async (t) => {
  let kept: TokenSet | null = null
  let isDown = false
  const { browser, server, app, clock } = await start(t, {
    session: { key: sessionKey, absoluteDuration: 5000 },
    before: (app) => {
      app.decorate('tokenStore', {
        get: () => { if (isDown) throw new Error('the store is down'); return kept },
        set: (_context: unknown, tokens: TokenSet) => { kept = tokens },
        clear: () => { kept = null }
      })
    }
  })
  t.equal((await ask(browser)).status, 401)
  await app.inject({ method: 'POST', url: '/save', payload: await server.issue() })
  clock.now += 100
  const { json } = await ask(browser)
  t.match(json, { claims: { name: 'Alice' } })
  t.ok(Math.abs(Number(json.expiresIn) - 4900) <= 2, String(json.expiresIn))
  clock.now += 10_000
  t.equal((await ask(browser)).json.expiresIn, 0)
  isDown = true
  const answer = await ask(browser)
  t.match([answer.status, answer.json.code, answer.headers.get('cache-control')], [503, 'FST_TOKEN_STORE_FAILED', 'no-store'])
})

test('options of the endpoint that cannot be fail the boot', async (t) => {
  for (const [session, message] of [
    [{ path: '/auth/login' }, /bff\.session\.path and the path of login\.callbackUri must differ/],
    [{ path: 'session' }, /bff\.session\.path must be a path/],
    [{ anonymous: 403 }, /bff\.session\.anonymous must be one of '401', 'null'/],
    [{ slide: false }, /bff\.session\.slide: no such option/],
    ['yes', /bff\.session must/]
  ] as const) {
    await t.rejects(start(t, { bff: Object({ session }) }), { code: 'FST_TOKEN_INVALID_OPTIONS', message }, JSON.stringify(session))
  }
  await t.rejects(startApp(t, (await start(t)).server, { logout: { path: '/x' }, bff: { session: { path: '/x' } } }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /logout\.path, .*bff\.session\.path .*must differ/ })
})
