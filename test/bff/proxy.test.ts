import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { json } from 'node:stream/consumers'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify, { type FastifyReply } from 'fastify'
import { test, type Test } from 'tap'
import { Agent, WebSocket } from 'undici'
import { WebSocketServer } from 'ws'
import tokenManagement, { type TokenManagementOptions, type UnauthenticatedError } from '../../lib/index.ts'
import tokenProxy, { type TokenProxyOptions } from '../../lib/proxy.ts'
import { type ApiOptions, startApi, type TestApi, tokenOf } from '../support/api.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { type Answer, Browser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { callbackUri, startLogin } from '../support/login-flow.ts'
import { startRealProvider } from '../support/real-provider.ts'
import { assertNoSecrets, cookieOf } from '../support/scenario.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from '../support/start-app.ts'

type Apis = NonNullable<TokenManagementOptions['apis']>

interface ProxyApp extends TestApp {
  readonly server: AuthorizationServer
  readonly api: TestApi
}

interface ProxyAppOptions extends TestAppOptions {
  readonly server?: Partial<Settings>
  readonly api?: Partial<ApiOptions>
  readonly apiOptions?: Partial<Apis[string]>
  readonly proxy?: Partial<TokenProxyOptions>
}

/** An app whose `/api/orders` is the API `orders`. */
async function startProxyApp (t: Test, { server: settings, api: apiSettings, apiOptions, proxy, routes, ...options }: ProxyAppOptions = {}): Promise<ProxyApp> {
  const server = await startAuthorizationServer({ accessTokenFormat: 'jwt', ...settings })
  t.teardown(() => server.close())
  const api = await startApi(t, { issuer: server.issuer, clock: server.clock, ...apiSettings })
  const app = await startApp(t, server, {
    apis: { orders: { origin: api.origin, token: 'user', ...apiOptions } },
    routes: async (instance) => {
      await instance.register(tokenProxy, { prefix: '/api/orders', api: 'orders', ...proxy })
      await routes?.(instance)
    },
    ...options
  })
  server.settings.clock = () => app.clock.now
  return { ...app, server, api }
}

/** What a page of the app sends along with its requests. */
const page = { 'x-csrf': '1', 'sec-fetch-site': 'same-origin' }
const get = async (browser: Browser, path: string, headers = {}): Promise<Answer> => await browser.get(path, { ...page, ...headers })
const send = async (browser: Browser, method: 'POST' | 'PUT' | 'DELETE', path: string, body?: string, headers = {}): Promise<Answer> =>
  await browser.send(method, path, { ...page, ...headers }, body)

test('a request goes on to the API with the user\'s token, and its answer comes back', async (t) => {
  const { api, login } = await startProxyApp(t)
  const browser = await login()
  t.match(await get(browser, '/api/orders/7?a=%20b&a=c'), { status: 200, json: { sub: 'alice', method: 'GET', url: '/7?a=%20b&a=c' } })
  t.match(await send(browser, 'POST', '/api/orders/', '{"amount":3}', { 'content-type': 'application/json' }), { status: 200, json: { sub: 'alice', method: 'POST', url: '/', body: { amount: 3 } } })
  t.match(await send(browser, 'PUT', '/api/orders/7', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }), { json: { method: 'PUT', body: 'a=b' } })
  t.match(await send(browser, 'POST', '/api/orders', 'text', { 'content-type': 'text/plain' }), { json: { url: '/', body: 'text' } })
  t.match(await send(browser, 'DELETE', '/api/orders/7'), { json: { method: 'DELETE' } })
  t.match(api.requests.map(({ headers }) => headers.authorization), Array.from({ length: 5 }, () => /^(Bearer|DPoP) ey/))
})

test('R45 nothing that is between the browser and this app goes on: no cookie, no credentials, and no word on where a request comes from', async (t) => {
  const { api, login } = await startProxyApp(t)
  const browser = await login()
  browser.cookies.set('theme', 'dark')
  const elsewhere = { 'x-forwarded-user': 'admin', 'X-Forwarded-Prefix': '/admin', 'x-forwarded-uri': '/admin', 'x-original-url': '/admin', 'x-rewrite-url': '/admin' }
  const own = { Authorization: 'Bearer of-the-page', dpop: 'x', 'proxy-authorization': 'x', forwarded: 'for=1.2.3.4', 'x-forwarded-for': '1.2.3.4', 'x-forwarded-host': 'evil', 'x-real-ip': '1.2.3.4', te: 'trailers', 'x-trace': '1', ...elsewhere }
  t.match(await get(browser, '/api/orders/7', own), { status: 200, json: { sub: 'alice' } })
  const { headers } = api.requests[0] ?? {}
  t.strictSame(Object.keys(headers ?? {}).sort(), ['accept', 'authorization', 'connection', ...headers?.dpop ? ['dpop'] : [], 'host', 'sec-fetch-site', 'x-csrf', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-trace'])
  t.match(headers, { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-host': new URL(browser.origin).host, 'x-forwarded-proto': 'http' })
  t.notMatch(headers?.authorization, /of-the-page/)
})

test('what the API says of its connection, its cookies and nonces does not reach the browser; the rest does', async (t) => {
  const routes: ApiOptions['routes'] = (app) => {
    app.get('/set', (_request, reply) => reply.code(201).headers({ 'set-cookie': ['a=1', 'b=2'], 'dpop-nonce': 'x', 'clear-site-data': '"cookies"', 'x-total': '3', etag: '"1"', 'content-type': 'text/csv', connection: 'keep-alive, X-Hop', 'x-hop': '1', upgrade: 'h2c', trailer: 'x-sum', 'alt-svc': 'h3=":443"' }).send(Readable.from(['a,b'])))
  }
  const { login } = await startProxyApp(t, { api: { routes } })
  const answer = await get(await login(), '/api/orders/set')
  t.match(answer, { status: 201, text: 'a,b', setCookies: [] })
  t.strictSame(['dpop-nonce', 'clear-site-data', 'x-hop', 'upgrade', 'trailer', 'alt-svc', 'x-total', 'etag', 'content-type'].map((name) => answer.headers.get(name)), [null, null, null, null, null, null, '3', '"1"', 'text/csv'])

  const passing = await startProxyApp(t, { api: { routes }, proxy: { setCookie: true } })
  const browser = await passing.login()
  passing.clock.now += 301
  const { setCookies, headers } = await get(browser, '/api/orders/set')
  t.match(setCookies.map((cookie) => cookie.split('=', 1)[0]).sort(), ['__Host-tokens', 'a', 'b'], 'beside the session\'s own, where that is asked for')
  t.equal(headers.get('cache-control'), 'no-store')
})

test('an expired token is refreshed before anything goes out, and the new cookie stands before the answer, which nobody may keep', async (t) => {
  const { api, login, clock, server } = await startProxyApp(t, { api: { routes: (app) => { app.get('/kept', (_request, reply) => reply.header('cache-control', 'public, max-age=60').send({ a: 1 })) } } })
  const browser = await login()
  t.equal((await get(browser, '/api/orders/kept')).headers.get('cache-control'), 'public, max-age=60')
  clock.now += 301
  const answer = await get(browser, '/api/orders/kept')
  t.equal(cookieOf(answer), 'set')
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.strictSame(answer.json, { a: 1 })
  t.equal(server.refreshes, 1)
  t.equal(api.requests.filter(({ status }) => status === 200).length, 2)
})

test('R21 a token that the API rejects is renewed once, with the new cookie before the headers; a body of up to 1 MiB is sent again', async (t) => {
  const { api, login, server } = await startProxyApp(t)
  const browser = await login()
  await get(browser, '/api/orders/7')
  const reject = () => api.requests.forEach((each) => api.reject(tokenOf(each)))
  const sends: Array<() => Promise<Answer>> = [
    () => get(browser, '/api/orders/7'),
    () => send(browser, 'POST', '/api/orders', '{"a":1}', { 'content-type': 'application/json' }),
    () => send(browser, 'PUT', '/api/orders/7', 'x'.repeat(1_048_576))
  ]
  for (const [index, sent] of sends.entries()) {
    reject()
    const answer = await sent()
    t.match(answer, { status: 200, json: { sub: 'alice' } })
    t.equal(cookieOf(answer), 'set')
    t.equal(server.refreshes, index + 1)
  }
  t.equal(String(api.requests.at(-1)?.body).length, 1_048_576)

  reject()
  const large = await send(browser, 'POST', '/api/orders', 'x'.repeat(1_048_577))
  t.match(large, { status: 401, json: { api: 'invalid_token' } }, 'of a larger one, the 401 is passed on')
  t.equal(server.refreshes, 3)
  api.next((_request, reply) => reply.code(401).send({ api: 'no' }), 2)
  t.match(await get(browser, '/api/orders/7'), { status: 401, json: { api: 'no' } }, 'and once is enough')
  t.equal(server.refreshes, 4)
})

test('the API\'s own refusals are passed on as they are', async (t) => {
  const { api, login, server } = await startProxyApp(t)
  const browser = await login()
  for (const [status, challenge] of [[401, 'Bearer error="insufficient_user_authentication"'], [403, 'Bearer error="insufficient_scope"'], [404, ''], [429, ''], [500, ''], [503, '']] as const) {
    const before = api.requests.length
    api.next((_request, reply) => reply.code(status).headers({ 'www-authenticate': challenge, 'retry-after': '1' }).send({ api: status }))
    const answer = await get(browser, '/api/orders/7')
    t.match(answer, { status, json: { api: status } })
    t.equal(answer.headers.get('www-authenticate'), challenge)
    t.equal(answer.headers.get('retry-after'), '1')
    t.equal(api.requests.length, before + 1, 'and nobody asks again in the browser\'s place')
  }
  t.equal(server.refreshes, 0)
})

test('without a token to be had nothing goes out: 401, 503, or what the token service\'s answer means', async (t) => {
  const { api, login, server, clock, origin, log } = await startProxyApp(t)
  for (const method of ['POST', 'DELETE'] as const) t.match(await send(new Browser(origin), method, '/api/orders', method === 'POST' ? 'body' : undefined), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED' } })
  t.match(await get(new Browser(origin), '/api/orders/7'), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED' } })
  const [first, second] = [await login(), await login()] as const
  clock.now += 301
  server.fault(faults.answer(500), Infinity)
  const outage = await get(first, '/api/orders/7')
  t.match(outage, { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.equal(outage.headers.get('retry-after'), '1')
  server.clearFaults()
  clock.now += 31
  server.fault(faults.oauthError('invalid_grant'), Infinity)
  t.match(await get(second, '/api/orders/7'), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED' } })
  t.equal(api.requests.length, 0)
  assertNoSecrets(t, server, log)
})

test('a 401 that is not the API\'s goes to the error handler of the app, and says where to log in: before anything goes out, and where the renewal finds that the session is over', async (t) => {
  const { api, login, server, origin } = await startProxyApp(t, {
    server: { redirectUris: [callbackUri] },
    login: { callbackUri, scope: ['openid'] },
    before: (app) => {
      app.setErrorHandler<UnauthenticatedError>((error, _request, reply) => error.loginPath === undefined ? reply.send(error) : reply.startLogin({ provider: error.provider }))
    }
  })
  const fetched = { 'sec-fetch-mode': 'cors' }
  t.match(await get(new Browser(origin), '/api/orders/7', fetched), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED', loginPath: '/auth/login' } })
  const browser = await login()
  server.fault(faults.oauthError('invalid_grant'), Infinity)
  api.next((_request, reply) => reply.code(401).send({}))
  t.match(await send(browser, 'POST', '/api/orders', 'x', fetched), { status: 401, json: { loginPath: '/auth/login' } })
  t.equal(api.requests.length, 1)
})

test('a rejected token that cannot be renewed is said as that', async (t) => {
  const { api, login, server } = await startProxyApp(t)
  const browser = await login()
  api.next((_request, reply) => reply.code(401).send({}))
  server.fault(faults.answer(500))
  const answer = await get(browser, '/api/orders/7')
  t.match(answer, { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.equal(answer.headers.get('retry-after'), '1')
})

test('an API that is down is a 502, one that does not answer a 504, and no word of where it is', async (t) => {
  const port = await freePort()
  const down = await startProxyApp(t, { apiOptions: { origin: `http://127.0.0.1:${port}` } })
  const answer = await get(await down.login(), '/api/orders/7')
  t.match(answer, { status: 502, json: { code: 'FST_TOKEN_API_UNAVAILABLE' } })
  t.notMatch(answer.text, String(port))

  const dispatcher = new Agent({ headersTimeout: 1 })
  t.teardown(() => dispatcher.destroy())
  const { api, login } = await startProxyApp(t, { apiOptions: { dispatcher } })
  const browser = await login()
  api.next(() => new Promise(() => {}))
  t.match(await get(browser, '/api/orders/7'), { status: 504, json: { code: 'FST_TOKEN_API_TIMEOUT' } })
  api.next((_request, reply) => { reply.raw.destroy() })
  t.match(await get(browser, '/api/orders/7'), { status: 502, json: { code: 'FST_TOKEN_API_UNAVAILABLE' } })
})

for (const [token, anonymous, aliceIs] of [['client', 'web', 'web'], ['user-or-client', 'web', 'alice'], ['user-or-none', null, 'alice'], ['none', null, null]] as const) {
  test(`an API of ${token}: whose token goes along for nobody, for somebody, and in an outage`, async (t) => {
    const { api, login, origin, server, clock } = await startProxyApp(t, {
      clients: { machine: {} },
      apiOptions: { token, ...(token.includes('client') && { client: 'machine' }) },
      api: { anonymous: true }
    })
    const alice = await login()
    t.match(await get(new Browser(origin), '/api/orders/7'), { status: 200, json: { sub: anonymous } })
    t.match(await get(alice, '/api/orders/7'), { status: 200, json: { sub: aliceIs } })
    api.requests.length = 0
    clock.now += 301
    server.fault(faults.answer(500), Infinity)
    t.match(await get(alice, '/api/orders/7'), token === 'none' ? { status: 200 } : { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
    t.equal(api.requests.length, token === 'none' ? 1 : 0)
  })
}

test('1,000 requests at once on an expired token: one refresh, and 1,000 answers', async (t) => {
  const { login, clock, server } = await startProxyApp(t)
  const browser = await login()
  clock.now += 301
  const gate = server.hold()
  const answers = Array.from({ length: 1000 }, () => get(browser.clone(), '/api/orders/7'))
  await gate.arrived(1)
  gate.release()
  const statuses = (await Promise.all(answers)).map(({ status, json: { sub } }) => `${status} ${String(sub)}`)
  t.strictSame(new Set(statuses), new Set(['200 alice']))
  t.equal(server.refreshes, 1)
})

test('R32 R35 R36 with DPoP the API gets a proof for its own address, and its nonce', async (t) => {
  const { api, login, server } = await startProxyApp(t, { server: { dpop: true }, api: { dpopNonce: 'newest' }, proxy: { rewritePrefix: '/v1' } })
  const browser = await login()
  t.match(await send(browser, 'POST', '/api/orders/7?a=b', 'x'), { status: 200, json: { sub: 'alice', url: '/v1/7?a=b', body: 'x' } })
  t.match(await get(browser, '/api/orders/7'), { status: 200 })
  t.strictSame(api.requests.map(({ status }) => status), [401, 200, 200])
  api.requests.forEach((each) => api.reject(tokenOf(each)))
  t.match(await get(browser, '/api/orders/7'), { status: 200 })
  t.equal(server.refreshes, 1)
})

test('R44 what a page of another site may have sent goes nowhere, unless that is switched off by name', async (t) => {
  const { api, login } = await startProxyApp(t)
  const browser = await login()
  t.match(await browser.get('/api/orders/7'), { status: 403, json: { code: 'FST_TOKEN_CSRF_HEADER' } })
  for (const site of ['cross-site', 'same-site', 'none']) {
    t.match(await browser.send('POST', '/api/orders', { 'x-csrf': '1', 'sec-fetch-site': site }, 'x'), { status: 403, json: { code: 'FST_TOKEN_CROSS_SITE' } })
  }
  t.match(await browser.get('/api/orders/7', { 'sec-fetch-site': 'same-origin' }), { status: 200 }, 'an EventSource can set no header')
  t.equal(api.requests.filter(({ status }) => status === 200).length, 1)
  const open = await startProxyApp(t, { proxy: { csrf: false } })
  t.match(await (await open.login()).send('POST', '/api/orders', {}, 'x'), { status: 200 })
})

test('R45 of an allow-list nothing else has a route, whatever the method or the spelling of the path', async (t) => {
  const { api, login } = await startProxyApp(t, { proxy: { allow: [{ path: '/orders/:id', methods: ['GET', 'PUT'] }, { path: '/files/*' }, { path: '/', methods: ['POST'] }] } })
  const browser = await login()
  for (const path of ['/orders/7', '/orders/a%20b', '/orders/a..b', '/files/a/b.txt', '/files/']) t.match(await get(browser, `/api/orders${path}`), { status: 200, json: { url: path } })
  t.match(await send(browser, 'PUT', '/api/orders/orders/7', 'x'), { status: 200 })
  t.match(await send(browser, 'POST', '/api/orders', 'x'), { status: 200 })
  const before = api.requests.length
  t.match(await send(browser, 'DELETE', '/api/orders/orders/7'), { status: 404 })
  t.match(await send(browser, 'POST', '/api/orders/orders/7', 'x'), { status: 404 })
  for (const name of ['X-HTTP-Method-Override', 'x-http-method', 'x-method-override']) t.match(await get(browser, '/api/orders/orders/7', { [name]: 'DELETE' }), { status: 404 }, 'what the API may take for the method is looked at, too')
  for (const path of ['', '/', '/orders', '/orders/7/admin', '/admin', '/orders/7%2Fadmin', '/orders/7%2fadmin', '/orders/7;/../admin', '/orders/7;a', '/orders/%2e%2e', '/files/../admin', '/files/..%2Fadmin', '/files/%2e%2e/admin',
    '/files/.%2e/admin', '/files/%252e%252e%252fadmin', '/files/%25%32%65%25%32%65/admin', '/files/%25%32fadmin', '/files/..%5Cadmin', '/files/..\\admin', '/files//admin', '//files/a', '/files/./admin', '/files/a%00', '/files/a%0A', '/files/%', '/files/%ff']) {
    const status = (await raw(browser, `/api/orders${path}`)).split(' ')[1]
    t.ok(status === '404' || status === '400', `${path}: ${status}`)
  }
  t.equal(api.requests.length, before)
})

/** The status line of the answer to a path, sent as it is. */
async function raw ({ origin, header }: Browser, path: string): Promise<string> {
  const { port, host } = new URL(origin)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\ncookie: ${header}\r\nx-csrf: 1\r\nsec-fetch-site: same-origin\r\nconnection: close\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) text += chunk
  return text.split('\r\n', 1)[0] ?? ''
}

test('R45 no path leads out of the part of the API that the proxy is for', async (t) => {
  const { api, login } = await startProxyApp(t, { proxy: { rewritePrefix: '/v1/orders' } })
  const browser = await login()
  t.match(await get(browser, '/api/orders/a%2Fb'), { status: 200, json: { url: '/v1/orders/a%2Fb' } })
  for (const path of ['/../admin', '/%2e%2e/admin', '/a/../../admin', '/..%2Fadmin', '/a%2F..%2F..%2Fadmin', '/..%5Cadmin', '/..\\admin', '/%252e%252e/admin', '/%25%32%65%252%65/admin', '//evil.example.com/', '/\\evil.example.com', '/x#/../admin', '/.', '/a/..', '/%2e']) {
    const status = (await raw(browser, `/api/orders${path}`)).split(' ')[1]
    t.ok(status === '404' || status === '400', `${path}: ${status}`)
  }
  t.ok(api.requests.every(({ url }) => url === '/v1/orders/a%2Fb'))
  const absolute = (await raw(browser, 'http://evil.example.com/api/orders/7')).split(' ')[1]
  t.ok(absolute === '404' || absolute === '400')
})

test('a body that the API did not wait for is not sent again: its 401 is passed on, and nothing hangs', async (t) => {
  const { api, login, server } = await startProxyApp(t)
  const browser = await login()
  api.next((_request, reply) => reply.code(401).send({ api: 'early' }))
  const sending = httpRequest(`${browser.origin}/api/orders/7`, { method: 'POST', headers: { ...page, cookie: browser.header, 'content-length': 100, expect: '100-continue' } })
  sending.write('the beginning')
  const [answer] = await once(sending, 'response')
  answer.resume()
  t.equal(answer.statusCode, 401)
  t.equal(server.refreshes, 0)
  t.equal(api.requests.length, 1)
  sending.on('error', () => {})
  sending.destroy()
})

test('a redirect of the API to itself leads through the proxy, and any other is left as it is', async (t) => {
  const { api, login } = await startProxyApp(t, { proxy: { rewritePrefix: '/v1' } })
  const browser = await login()
  for (const [location, seen] of [['/v1/orders/7?a', '/api/orders/orders/7?a'], [`${api.origin}/v1/orders/7`, '/api/orders/orders/7'], ['7', '7'], ['/admin', '/admin'], ['https://other.example.com/v1/x', 'https://other.example.com/v1/x'], ['//other.example.com/v1', '//other.example.com/v1']] as const) {
    api.next((_request, reply) => reply.code(303).header('location', location).send())
    const { status, headers } = await get(browser, '/api/orders/7')
    t.strictSame([status, headers.get('location')], [303, seen])
  }
})

for (const [prefix, path, seen] of [['/api/orders/', '/api/orders/7', '/api/orders/8'], ['/', '/7', '/8'], ['', '/7', '/8'], ['/api/:tenant/orders', '/api/a%20b/orders/7', '/api/a%20b/orders/8']] as const) {
  test(`the prefix ${prefix || 'left out'} stands for what the API's paths begin with, in redirects, too`, async (t) => {
    const { api, login } = await startProxyApp(t, { proxy: { prefix, rewritePrefix: '/v1' } })
    const browser = await login()
    t.match(await get(browser, `${path}?a=/b`), { status: 200, json: { url: '/v1/7?a=/b' } })
    api.next((_request, reply) => reply.code(303).header('location', '/v1/8').send())
    t.equal((await get(browser, `${path}?a=/b`)).headers.get('location'), seen)
  })
}

test('what came for a token is for nobody else: shared caches are told so where the API, which had an Authorization, did not have to say it', async (t) => {
  const { api, login, origin } = await startProxyApp(t, { apiOptions: { token: 'user-or-none' }, api: { anonymous: true } })
  const browser = await login()
  const of = async (client: Browser, headers: Record<string, string | string[]>) => {
    api.next((_request, reply) => reply.headers(headers).send({}))
    const answer = await get(client, '/api/orders/7')
    return [answer.headers.get('cache-control'), answer.headers.get('vary')]
  }
  t.strictSame(await of(browser, {}), ['private', null])
  t.strictSame(await of(browser, { 'cache-control': 'max-age=60', vary: 'Accept' }), ['max-age=60, private', 'Accept'])
  t.strictSame(await of(browser, { 'cache-control': ['max-age=60', 'no-cache'], vary: ['Accept', 'authorization'] }), ['max-age=60, no-cache, private', 'Accept, authorization, Cookie'])
  for (const said of ['public, max-age=60', 's-maxage=60', 'must-revalidate', 'No-Store', 'max-age=60, Private']) t.strictSame(await of(browser, { 'cache-control': said }), [said, null], said)
  t.strictSame(await of(new Browser(origin), { 'cache-control': 'max-age=60', vary: 'Authorization' }), ['max-age=60', 'Authorization'])
})

const HUNDRED_MB = 100 * 1024 * 1024
const chunk = Buffer.alloc(65_536, 'x')
setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')
/** What is held in memory, and not only not collected yet. */
function held (): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** So many bytes, with the most that the process holds in memory meanwhile. */
function stream (bytes: number): Readable & { peak: number } {
  let left = bytes
  const readable = Object.assign(new Readable({
    read () {
      if (left % (10 * 1024 * 1024) === 0) readable.peak = Math.max(readable.peak, held())
      left -= chunk.length
      this.push(left < 0 ? null : chunk)
    }
  }), { peak: 0 })
  return readable
}

test('100 MB go through in both directions without being held in memory', async (t) => {
  const seen = { bytes: 0 }
  const answers: Array<ReturnType<typeof stream>> = []
  const { login } = await startProxyApp(t, {
    api: {
      routes: (app) => {
        app.removeAllContentTypeParsers()
        app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
        app.get('/large', (_request, reply) => { const answer = stream(HUNDRED_MB); answers.push(answer); return reply.send(answer) })
        app.post('/large', async ({ raw }) => { for await (const part of raw) seen.bytes += part.length; return seen })
      }
    }
  })
  const browser = await login()
  const before = held()
  const headers = { ...page, cookie: browser.header }
  let received = 0
  const [download] = await once(httpRequest(`${browser.origin}/api/orders/large`, { headers }).end(), 'response')
  for await (const part of download) received += part.length
  t.equal(received, HUNDRED_MB)
  t.ok((answers[0]?.peak ?? Infinity) - before < 40 * 1024 * 1024, `down: ${answers[0]?.peak} after ${before}`)

  const upload = stream(HUNDRED_MB)
  const between = held()
  const sending = httpRequest(`${browser.origin}/api/orders/large`, { method: 'POST', headers })
  upload.pipe(sending)
  const [answer] = await once(sending, 'response')
  answer.resume()
  t.equal(answer.statusCode, 200)
  t.equal(seen.bytes, HUNDRED_MB)
  t.ok(upload.peak - between < 40 * 1024 * 1024, `up: ${upload.peak} after ${between}`)
})

const overHttp2 = { http2: true, forceCloseConnections: true }

test('a browser that goes away frees the API: while it waits, while it downloads, and while it uploads', async (t) => {
  const replies: FastifyReply[] = []
  let arrived: () => void = () => {}
  const { login, log, logged } = await startProxyApp(t, {
    api: {
      routes: (app) => {
        app.removeAllContentTypeParsers()
        app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
        app.all('/endless', (request, reply) => {
          replies.push(reply)
          if (request.method === 'GET' && request.headers['x-wait'] === undefined) reply.send(new Readable({ read () { setImmediate(() => this.push(chunk)) } }))
          if (request.method === 'POST') request.raw.resume().on('error', () => {})
          arrived()
        })
      }
    }
  })
  const browser = await login()
  const headers = { ...page, cookie: browser.header }
  for (const kind of ['waits', 'downloads', 'uploads']) {
    const reached = new Promise<void>((resolve) => { arrived = resolve })
    const sent = httpRequest(`${browser.origin}/api/orders/endless`, { headers: { ...headers, ...(kind === 'waits' && { 'x-wait': '1' }) }, method: kind === 'uploads' ? 'POST' : 'GET' })
    sent.on('error', () => {})
    if (kind === 'uploads') sent.write(chunk)
    else sent.end()
    await reached
    const closed = once(replies.at(-1)?.raw ?? sent, 'close')
    if (kind === 'downloads') {
      const [answer] = await once(sent, 'response')
      await once(answer, 'data')
      answer.on('error', () => {})
    }
    sent.destroy()
    await closed
    t.pass(`it ${kind}`)
  }
  await logged(/was gone before/)
  t.notMatch(log.join(''), /"level":50/, 'and that is nobody\'s failure')
})

test('over HTTP/2 requests go on, too, and a browser that goes away frees the API', async (t) => {
  const { api, origin } = await startProxyApp(t, { fastify: { ...overHttp2 }, apiOptions: { token: 'none' }, api: { anonymous: true } })
  const client = connectHttp2(origin)
  t.teardown(() => { client.destroy() })
  const sent = client.request({ ...page, ':method': 'POST', ':path': '/api/orders/7', 'content-type': 'text/plain' })
  sent.end('text')
  t.match((await once(sent, 'response'))[0], { ':status': 200 })
  t.match(await json(sent), { method: 'POST', url: '/7', body: 'text' })
  const reached = new Promise<FastifyReply['raw']>((resolve) => { api.next((_request, { raw }) => { resolve(raw); return new Promise(() => {}) }) })
  const waiting = client.request({ ...page, ':path': '/api/orders/7' }).on('error', () => {})
  const closed = once(await reached, 'close')
  waiting.close(constants.NGHTTP2_CANCEL)
  await closed
  t.equal(api.requests.length, 2)
})

test('events come as they are sent (SSE), to an EventSource, which sets no header', async (t) => {
  let push: (event: string) => void = () => {}
  const { login } = await startProxyApp(t, {
    api: {
      routes: (app) => {
        app.get('/events', (_request, reply) => {
          const events = new Readable({ read () {} })
          push = (event) => { events.push(`data: ${event}\n\n`) }
          push('hello')
          return reply.type('text/event-stream').send(events)
        })
      }
    }
  })
  const browser = await login()
  const sent = httpRequest(`${browser.origin}/api/orders/events`, { headers: { cookie: browser.header, accept: 'text/event-stream', 'sec-fetch-site': 'same-origin' } }).end()
  const [answer] = await once(sent, 'response')
  answer.setEncoding('utf8')
  t.equal(answer.headers['content-type'], 'text/event-stream')
  t.equal((await once(answer, 'data'))[0], 'data: hello\n\n')
  push('world')
  t.equal((await once(answer, 'data'))[0], 'data: world\n\n')
  answer.on('error', () => {})
  sent.destroy()
})

/** A WebSocket of the app's own page, unless the headers say otherwise. */
function open ({ origin, header }: Browser, path: string, headers: Record<string, string> = {}): WebSocket {
  return new WebSocket(origin.replace('http', 'ws') + path, { headers: { cookie: header, origin, ...headers } })
}

/** How it went: open, or closed. */
async function outcomeOf (socket: WebSocket): Promise<string> {
  return await new Promise((resolve) => { for (const type of ['open', 'close', 'error'] as const) socket.addEventListener(type, () => resolve(type)) })
}

for (const dpop of [false, true]) {
  test(`a WebSocket goes on, with the token in its handshake${dpop ? ' and a proof' : ''}, if a page of the app opens it`, async (t) => {
    const sockets = new WebSocketServer({ noServer: true })
    t.teardown(() => sockets.close())
    const handshakes: Array<Record<string, unknown>> = []
    const { login, clock, origin } = await startProxyApp(t, {
      server: { dpop },
      proxy: { websocket: true, rewritePrefix: '/v1' },
      api: {
        routes: (app) => {
          app.server.on('upgrade', (upgrade, socket, head) => {
            handshakes.push({ url: upgrade.url, ...upgrade.headers })
            sockets.handleUpgrade(upgrade, socket, head, (ws) => { ws.on('message', (data) => ws.send(`echo ${String(data)}`)) })
          })
        }
      }
    })
    const browser = await login()
    const socket = open(browser, '/api/orders/live?a=b', { authorization: 'Bearer of-the-page', 'x-forwarded-for': '1.2.3.4' })
    t.equal(await outcomeOf(socket), 'open')
    const echoed = new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data)))
    socket.send('hello')
    t.equal(await echoed, 'echo hello')
    t.match(handshakes, [{ url: '/v1/live?a=b', authorization: dpop ? /^DPoP ey/ : /^Bearer ey/, 'x-forwarded-for': '127.0.0.1' }])
    t.equal(handshakes[0]?.cookie, undefined)
    if (dpop) t.match(JSON.parse(Buffer.from(String(handshakes[0]?.dpop).split('.')[1] ?? '', 'base64url').toString()), { htm: 'GET', htu: /\/v1\/live$/ })
    socket.close()

    for (const other of ['https://evil.example.com', origin.replace('127.0.0.1', 'app.127.0.0.1')]) t.not(await outcomeOf(open(browser, '/api/orders/live', { origin: other })), 'open', other)
    t.not(await outcomeOf(open(new Browser(origin), '/api/orders/live')), 'open', 'nobody is logged in')
    clock.now += 301
    t.not(await outcomeOf(open(browser, '/api/orders/live')), 'open', 'a new cookie would not reach the browser')
    t.equal(handshakes.length, 1)
    await get(browser, '/api/orders/7')
    const again = open(browser, '/api/orders/live')
    t.equal(await outcomeOf(again), 'open', 'after an ordinary request it goes')
    again.close()
  })
}

test('a handshake has no route where WebSockets are not asked for, beside a proxy where they are', async (t) => {
  const { login } = await startProxyApp(t, { routes: async (app) => { await app.register(tokenProxy, { prefix: '/api/live', api: 'orders', websocket: true }) } })
  t.not(await outcomeOf(open(await login(), '/api/orders/live')), 'open')
})

test('what the app does with bodies of its own routes, it does not with those that go on', async (t) => {
  const { login } = await startProxyApp(t, {
    before: (app) => {
      for (const type of ['application/x-www-form-urlencoded', 'text/csv']) app.addContentTypeParser(type, { parseAs: 'string', bodyLimit: 5 }, (_request, _body, done) => done(null, { parsed: true }))
    },
    routes: (app) => { app.post('/own', { config: { tokens: false } }, async ({ body }) => body) }
  })
  const browser = await login()
  for (const type of ['application/x-www-form-urlencoded', 'text/csv', 'text/plain', 'application/json; charset=utf-8', 'multipart/form-data; boundary=x']) {
    const body = type.includes('json') ? '{"a" : 1}' : 'a=b,c and more'
    t.match(await send(browser, 'POST', '/api/orders', body, { 'content-type': type }), { status: 200, json: { body: type.includes('json') ? { a: 1 } : body } }, type)
  }
  t.match(await send(browser, 'POST', '/own', 'a=b', { 'content-type': 'text/csv' }), { json: { parsed: true } })
})

test('wrong options fail the boot, and say which', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const fails = async (options: object, message: RegExp) => await t.rejects(startApp(t, server, {
    apis: { orders: { origin: 'https://orders.internal', token: 'user' } },
    routes: async (app) => { await app.register(tokenProxy, { prefix: '/api', api: 'orders', ...options }) }
  }), { code: 'FST_TOKEN_INVALID_OPTIONS', message })
  await fails({ api: 'order' }, /tokenProxy: api: there is no API order\. .*: orders\./)
  await fails({ api: undefined }, /there is no API undefined/)
  await fails({ upstream: 'https://x' }, /upstream: no such option/)
  for (const name of ['csrf', 'websocket', 'setCookie']) await fails({ [name]: 'no' }, new RegExp(`${name} must be boolean`))
  for (const rewritePrefix of ['v1', '/v1/', '/', '/a/../b', '/a?b', '//evil.example.com', '/a%2Fb']) await fails({ rewritePrefix }, /rewritePrefix/)
  for (const allow of [[], {}, [{ path: 'orders' }], [{ path: '/', methods: [] }], [{ path: '/', methods: 'GET' }]]) await fails({ allow }, /allow/)
  const alone = Fastify()
  await t.rejects(async () => await alone.register(tokenProxy, { prefix: '/api', api: 'orders' }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /none\. Register fastify-token-management before/ })
})

for (const dpop of [false, true]) {
  test(`at a real provider${dpop ? ', with DPoP and its nonces' : ''}: a login, and calls through the proxy to an API that checks audience${dpop ? ', proof' : ''} and lifetime`, async (t) => {
    const audience = 'https://orders.example.com'
    const provider = await startRealProvider(t, {
      callbackUri,
      registration: { token_endpoint_auth_method: 'client_secret_basic', ...(dpop && { dpop_bound_access_tokens: true }) },
      features: {
        resourceIndicators: { enabled: true, defaultResource: () => audience, useGrantedResource: () => true, getResourceServerInfo: () => ({ scope: '', audience, accessTokenTTL: 60, accessTokenFormat: 'jwt' }) },
        ...(dpop && { dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 'n'), requireNonce: () => true } })
      }
    })
    const clock = { now: Date.now() / 1000 }
    const api = await startApi(t, { issuer: provider.issuer, audience, dpopNonce: dpop ? 'issued' : null, clock: () => clock.now })
    const app = Fastify({ forceCloseConnections: true })
    t.teardown(() => app.close())
    await app.register(tokenManagement, {
      issuer: provider.issuer,
      clientId: provider.client.id,
      clientSecret: provider.client.secret,
      session: { key: sessionKey },
      ...(dpop && { dpop: true }),
      login: { callbackUri, scope: ['openid', 'offline_access'], resource: audience },
      apis: { orders: { origin: api.origin, token: 'user' } },
      clock: () => clock.now
    })
    await app.register(tokenProxy, { prefix: '/api/orders', api: 'orders' })
    const browser = new Browser(await app.listen({ port: 0, host: '127.0.0.1' }))
    t.match(await get(browser, '/api/orders/7'), { status: 401 })
    await browser.get(await provider.authorize(await startLogin(browser)))
    t.match(await get(browser, '/api/orders/7'), { status: 200, json: { sub: 'alice', aud: audience, url: '/7' } })
    api.requests.forEach((each) => api.reject(tokenOf(each)))
    t.match(await send(browser, 'POST', '/api/orders', 'x'), { status: 200, json: { sub: 'alice', body: 'x' } }, 'a token that is rejected is renewed')
    clock.now += 61
    const tabs = await Promise.all(Array.from({ length: 20 }, () => get(browser.clone(), '/api/orders/7')))
    t.strictSame(new Set(tabs.map(({ status }) => status)), new Set([200]))
    t.equal(provider.tokenRequests().filter(({ for: grant, status }) => grant === 'refresh_token' && status === 200).length, 2)
  })
}
