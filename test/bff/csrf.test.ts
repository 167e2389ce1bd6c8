import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { Browser } from '../support/browser.ts'
import { logIn, startLoginApp, type LoginAppOptions } from '../support/login-flow.ts'

const everyMethod = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** `/guarded` takes every method, and counts how often a request got through. */
async function start (t: Test, options: LoginAppOptions = {}) {
  let passed = 0
  const started = await startLoginApp(t, {
    ...options,
    routes: async (app) => {
      app.route({ method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], url: '/guarded', onRequest: app.requireCsrfHeader, handler: () => { passed++; return {} } })
      await options.routes?.(app)
    }
  })
  const { host } = new URL(started.origin)
  return { ...started, host, passes: () => passed, anyone: new Browser(started.origin) }
}

/** Who sends what, and the code of the refusal; `null` for what passes. */
type Case = readonly [what: string, method: typeof everyMethod[number], headers: (origin: string) => Record<string, string>, code: string | null]

const cases: Case[] = [
  ...everyMethod.flatMap((method): Case[] => [
    [`${method} by fetch from a page of the app`, method, () => ({ 'x-csrf': '1', 'sec-fetch-site': 'same-origin' }), null],
    [`${method} from a page of the app in an older browser`, method, (origin) => ({ 'x-csrf': '1', origin }), null],
    [`${method} from another site that was let send the header`, method, () => ({ 'x-csrf': '1', 'sec-fetch-site': 'cross-site' }), 'FST_TOKEN_CROSS_SITE'],
    [`${method} from a sibling subdomain`, method, () => ({ 'x-csrf': '1', 'sec-fetch-site': 'same-site' }), 'FST_TOKEN_CROSS_SITE'],
    [`${method} from another site without the header`, method, () => ({ 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }), 'FST_TOKEN_CROSS_SITE'],
    [`${method} of an older browser from another site`, method, () => ({ 'x-csrf': '1', origin: 'https://evil.example' }), 'FST_TOKEN_CROSS_SITE'],
    [`${method} typed into the address bar`, method, () => ({ 'sec-fetch-site': 'none' }), 'FST_TOKEN_CROSS_SITE']
  ]),
  ['GET of an EventSource', 'GET', () => ({ 'sec-fetch-site': 'same-origin', accept: 'text/event-stream' }), null],
  ['GET of an older browser, which says nothing else', 'GET', () => ({ 'x-csrf': '1' }), null],
  ['HEAD of an older browser, which says nothing else', 'HEAD', () => ({ 'x-csrf': '1' }), null],
  ['GET of an EventSource from a sibling subdomain', 'GET', () => ({ 'sec-fetch-site': 'same-site' }), 'FST_TOKEN_CROSS_SITE'],
  ['GET of an EventSource from another site', 'GET', () => ({ 'sec-fetch-site': 'cross-site' }), 'FST_TOKEN_CROSS_SITE'],
  ['GET of which nobody can tell', 'GET', () => ({}), 'FST_TOKEN_CSRF_HEADER'],
  ['GET of an EventSource in an older browser', 'GET', (origin) => ({ origin }), 'FST_TOKEN_CSRF_HEADER'],
  ['HEAD without the header', 'HEAD', () => ({ 'sec-fetch-site': 'same-origin' }), 'FST_TOKEN_CSRF_HEADER'],
  ['POST without the header', 'POST', () => ({ 'sec-fetch-site': 'same-origin' }), 'FST_TOKEN_CSRF_HEADER'],
  ['POST without the header in an older browser', 'POST', (origin) => ({ origin }), 'FST_TOKEN_CSRF_HEADER'],
  ['POST with another value', 'POST', () => ({ 'x-csrf': '0', 'sec-fetch-site': 'same-origin' }), 'FST_TOKEN_CSRF_HEADER'],
  ['POST with the header and nothing else, as no browser sends it', 'POST', () => ({ 'x-csrf': '1' }), 'FST_TOKEN_CROSS_SITE'],
  ['POST of a sandboxed frame', 'POST', () => ({ 'x-csrf': '1', origin: 'null' }), 'FST_TOKEN_CROSS_SITE'],
  ['POST with two origins in one', 'POST', (origin) => ({ 'x-csrf': '1', origin: `${origin}, https://evil.example` }), 'FST_TOKEN_CROSS_SITE'],
  ['POST whose headers contradict each other', 'POST', (origin) => ({ 'x-csrf': '1', 'sec-fetch-site': 'cross-site', origin }), 'FST_TOKEN_CROSS_SITE'],
  ['the preflight of another site', 'OPTIONS', () => ({ origin: 'https://evil.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-csrf' }), 'FST_TOKEN_CROSS_SITE']
]

test('R44 requests from pages of the app pass with the header, and all others are refused', async (t) => {
  const { anyone, origin, passes } = await start(t)
  for (const [what, method, headers, code] of cases) {
    const before = passes()
    const answer = await anyone.send(method, '/guarded', headers(origin))
    t.equal(answer.status, code === null ? 200 : 403, what)
    t.equal(passes() - before, code === null ? 1 : 0, what)
    if (code !== null && method !== 'HEAD') t.equal(answer.json.code, code, what)
    t.equal(answer.headers.get('access-control-allow-origin'), null, what)
  }
})

test('R44 a refusal says which header is to be sent, and needs no session for it', async (t) => {
  const { anyone } = await start(t)
  const { json, setCookies } = await anyone.post('/guarded')
  t.match(json, { statusCode: 403, code: 'FST_TOKEN_CSRF_HEADER', message: /Send X-CSRF: 1 with each request/ })
  t.strictSame(setCookies, [])
})

/** The handshake of a WebSocket, as browsers send it: they set no header for the page. */
const handshake = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }

test('R44 a handshake passes by its own Origin, and by nothing else', async (t) => {
  const { app, host, origin, passes } = await start(t)
  const shake = async (headers: Record<string, string>) => await app.inject({ url: '/guarded', headers: { host, ...handshake, ...headers } })
  const own: Array<Record<string, string>> = [{ origin }, { origin, upgrade: 'WebSocket' }, { origin, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'websocket' }]
  for (const headers of own) {
    t.equal((await shake(headers)).statusCode, 200, JSON.stringify(headers))
  }
  const foreign: Array<Record<string, string>> = [
    {}, { origin: 'null' }, { origin: 'https://evil.example' }, { origin: `${origin}.evil.example` }, { origin: origin.replace('127.0.0.1', 'sibling.127.0.0.1') },
    { 'sec-fetch-site': 'same-origin' }, { 'x-csrf': '1', 'sec-fetch-site': 'same-origin' }, { origin: 'https://evil.example', 'x-csrf': '1', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }
  ]
  for (const headers of foreign) {
    const answer = await shake(headers)
    t.equal(answer.statusCode, 403, JSON.stringify(headers))
    t.equal(answer.json().code, 'FST_TOKEN_CROSS_SITE')
  }
  t.equal(passes(), 3)
})

test('R44 behind a proxy the own host is what the proxy says, and only where the app trusts it', async (t) => {
  const forwarded = { 'x-forwarded-host': 'app.example.com', 'x-forwarded-proto': 'https' }
  const own = { 'x-csrf': '1', origin: 'https://app.example.com' }
  const trusting = await start(t, { fastify: { trustProxy: true } })
  t.equal((await trusting.anyone.send('POST', '/guarded', { ...own, ...forwarded })).status, 200)
  t.equal((await trusting.anyone.send('POST', '/guarded', { ...own, ...forwarded, 'x-forwarded-proto': 'http' })).status, 403)
  t.equal((await trusting.anyone.send('POST', '/guarded', { ...own, ...forwarded, origin: trusting.origin })).status, 403)
  const distrusting = await start(t)
  t.equal((await distrusting.anyone.send('POST', '/guarded', { ...own, ...forwarded })).status, 403)
})

test('R44 behind a proxy that ends TLS and passes the host on, the callback says that the own origin is https', async (t) => {
  const uri = 'https://app.example.com/auth/callback'
  const { anyone, app } = await start(t, { login: { callbackUri: uri }, server: { redirectUris: [uri] } })
  const send = async (origin: string, host = 'app.example.com') => (await anyone.send('POST', '/guarded', { host, origin, 'x-csrf': '1' })).status
  t.equal(await send('https://app.example.com'), 200)
  t.equal(await send('http://app.example.com'), 403, 'who can change what travels in clear is not this app')
  t.equal(await send('https://other.example.com'), 403)
  t.equal(await send('https://app.example.com', 'other.example.com'), 403, 'a sibling that the same app serves is another origin, too')
  const shaken = await app.inject({ url: '/guarded', headers: { host: 'app.example.com', origin: 'https://app.example.com', ...handshake } })
  t.equal(shaken.statusCode, 200)
})

test('R44 the header has another name and value where the option says so', async (t) => {
  const { anyone } = await start(t, { bff: { csrfHeader: 'X-Requested-With: XMLHttpRequest' } })
  t.equal((await anyone.post('/guarded', { 'x-requested-with': 'XMLHttpRequest' })).status, 200)
  const refused = await anyone.post('/guarded', { 'x-csrf': '1' })
  t.match(refused.json, { code: 'FST_TOKEN_CSRF_HEADER', message: /Send X-Requested-With: XMLHttpRequest with/ })
})

test('R44 a header that browsers send by themselves, or let any page send, fails the boot', async (t) => {
  for (const csrfHeader of ['Accept: application/json', 'Content-Type: application/json', 'Cookie: a', 'Sec-Fetch-Site: same-origin', 'Authorization: x', 'X-CSRF', 'X-CSRF:1', 'X-CSRF: ', '']) {
    await t.rejects(startLoginApp(t, { bff: { csrfHeader } }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /bff\.csrfHeader must match/ }, csrfHeader)
  }
})

test('R44 as the hook of a whole app it guards all routes but those of the login, which begins and ends elsewhere', async (t) => {
  let called = 0
  const { browser } = await start(t, { routes: (app) => app.register(async (child) => { child.get('/late', () => { called++; return {} }) }), before: guardAll })
  function guardAll (app: FastifyInstance): void {
    app.addHook('onRequest', async (request) => { await app.requireCsrfHeader(request) })
  }
  t.equal((await logIn(browser)).status, 303)
  t.equal((await browser.get('/late')).status, 403)
  t.equal((await browser.get('/token', { 'x-csrf': '1' })).status, 200)
  t.equal((await browser.post('/auth/logout')).status, 200, 'a form has no such header')
  t.equal(called, 0)
})

test('R44 the guard comes before tokens are asked for, so that no other site makes a session refresh', async (t) => {
  const { login, clock, server } = await start(t, {
    refresh: 'manual',
    routes: (app) => app.post('/orders', { onRequest: [app.requireCsrfHeader, app.requireAccessToken] }, () => ({}))
  })
  const browser = await login()
  clock.now += 301
  t.equal((await browser.send('POST', '/orders', { 'sec-fetch-site': 'cross-site' })).status, 403)
  t.equal(server.refreshes, 0)
  t.equal((await browser.post('/orders', { 'x-csrf': '1' })).status, 200)
  t.equal(server.refreshes, 1)
})
