/* What the pages of docs say, done: their snippets as they stand, against the strict server. */
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { openidPath } from '../support/authorization-server/settings.ts'
import { Browser } from '../support/browser.ts'
import { authorize, goOn, logIn, startLogin } from '../support/login-flow.ts'
import { startRedis, whyNotRedis } from '../support/redis-server.ts'
import { startPageApp } from '../support/snippets.ts'
import { sessionKey } from '../support/start-app.ts'
import { openSocket } from '../support/web-socket.ts'

/** What a browser asks for a page with. */
const page = { accept: 'text/html' }

/** An API with one list, which knows whose token is good at this server. */
async function startOrders (t: Test, server: AuthorizationServer): Promise<void> {
  const orders: Array<{ title: string }> = [{ title: '<b>Tea</b>' }]
  const api = Fastify({ forceCloseConnections: true })
  t.teardown(() => api.close())
  api.addHook('onRequest', async ({ headers }, reply) => {
    if (server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '') === null) await reply.code(401).send()
  })
  api.get('/orders', async () => orders)
  api.post<{ Body: { title: string } }>('/orders', async ({ body }) => { orders.push(body) })
  process.env.API = await api.listen({ port: 0, host: '127.0.0.1' })
}

test('docs/server-rendered.md: a page sends to the login and comes back, the layout says who it is, forms come from own pages only, and an outage has a page', async (t) => {
  const { server, clock, origin } = await startPageApp(t, 'server-rendered.md', { server: { expiresIn: 300, idTokenClaims: { name: 'Alice <3' } } })
  await startOrders(t, server)
  const browser = new Browser(origin)
  const home = await browser.get('/')
  t.match(home.text, '<a href="/auth/login">Log in</a>')
  t.equal(home.headers.get('cache-control'), null)

  const start = await browser.get('/orders', page)
  t.equal(start.status, 303)
  t.equal((await browser.get(await authorize(new URL(start.headers.get('location') ?? '')))).headers.get('location'), '/orders')
  const orders = await browser.get('/orders', page)
  t.match(orders.text, '<li>&lt;b&gt;Tea&lt;/b&gt;</li>')
  t.match(orders.text, 'Alice &lt;3')
  t.equal(orders.headers.get('cache-control'), 'no-store')
  t.match((await browser.get('/')).text, 'Alice &lt;3')

  const order = async (from: Record<string, string>) => await browser.send('POST', '/orders', { ...page, 'content-type': 'application/x-www-form-urlencoded', ...from }, 'title=Coffee')
  t.equal((await order({ 'sec-fetch-site': 'same-origin' })).headers.get('location'), '/orders')
  t.equal((await order({ origin })).status, 303, 'an older browser')
  t.equal((await order({ 'sec-fetch-site': 'same-site', origin })).status, 403)
  t.equal((await order({ origin: 'https://evil.example.com' })).status, 403)
  t.equal((await order({})).status, 403)
  t.equal((await browser.get('/orders', page)).text.match(/Coffee/g)?.length, 2)

  clock.now += 301
  await server.refuseConnections()
  const outage = await browser.get('/orders', page)
  t.match(outage, { status: 503, text: /Alice &lt;3[^]*Back in a moment/ })
  t.equal(outage.headers.get('retry-after'), '5')
  t.match((await browser.get('/orders')).json, { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' }, 'programs get JSON')
  await server.acceptConnections()
  clock.now += 30
  t.equal((await browser.get('/orders', page)).status, 200)
  t.equal((await goOn(browser, await browser.post('/auth/logout', page))).status, 303)
  t.match((await browser.get('/')).text, 'Log in')
})

/** What a browser's EventSource reads, an event at a time. */
async function openEvents ({ origin, header }: Browser): Promise<{ status: number, next: () => Promise<string | undefined> }> {
  const { status, body } = await fetch(`${origin}/events`, { headers: { cookie: header, 'sec-fetch-site': 'same-origin' } })
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader()
  return { status, next: async () => (await reader?.read())?.value }
}

test('docs/websockets.md: a handshake is of an own page, a token that has expired wants an ordinary request, and a logout ends the connection', async (t) => {
  const { server, clock, origin, enter } = await startPageApp(t, 'websockets.md', { run: ['live.ts'], server: { expiresIn: 300 } })
  await startOrders(t, server)
  const browser = await enter()
  await t.rejects(openSocket(new Browser(origin), '/live'))
  await t.rejects(openSocket(browser, '/live', { origin: 'https://evil.example.com' }))
  const [first, second] = [await openSocket(browser, '/live'), await openSocket(browser, '/live')]
  t.equal(await first.ask('orders?'), '[{"title":"<b>Tea</b>"}]')
  clock.now += 250
  t.equal(await first.ask('orders?'), '[{"title":"<b>Tea</b>"}]', 'due, and still good')
  clock.now += 51
  first.send('orders?')
  t.equal(await first.closed, 4409)
  await t.rejects(openSocket(browser, '/live'))
  t.equal(server.refreshes, 0)
  t.equal((await browser.get('/live/ready', { 'x-csrf': '1', 'sec-fetch-site': 'same-origin' })).status, 204)
  t.equal(await second.ask('orders?'), '[{"title":"<b>Tea</b>"}]', 'what another request has refreshed')
  const third = await openSocket(browser, '/live')
  t.equal(await third.ask('orders?'), '[{"title":"<b>Tea</b>"}]')
  await browser.post('/auth/logout')
  t.strictSame(await Promise.all([second.closed, third.closed]), [4401, 4401])
  t.equal(server.refreshes, 1)
})

test('docs/websockets.md: with the session on the server an open connection is refreshed', async (t) => {
  const { server, clock, enter } = await startPageApp(t, 'websockets.md', {
    run: ['live.ts', 'events.ts'],
    server: { expiresIn: 300 },
    before: async (app) => {
      await app.register(cookie)
      await app.register(session, { secret: 'a secret of the session, long enough', cookie: { secure: false } })
    }
  })
  await startOrders(t, server)
  const browser = await enter()
  const socket = await openSocket(browser, '/live')
  clock.now += 301
  t.equal(await socket.ask('orders?'), '[{"title":"<b>Tea</b>"}]')
  clock.now += 301
  const late = await openSocket(browser, '/live')
  t.equal(await late.ask('orders?'), '[{"title":"<b>Tea</b>"}]')
  t.equal(server.refreshes, 2)
})

test('docs/websockets.md: a stream of events ends with its token, the next one is refreshed, and after a logout there is none', async (t) => {
  const { server, clock, modules, enter } = await startPageApp(t, 'websockets.md', { run: ['live.ts', 'events.ts'], server: { expiresIn: 300 } })
  await startOrders(t, server)
  const { changes } = Object(modules.get('events.ts'))
  const browser = await enter()
  const stream = await openEvents(browser)
  t.equal(await stream.next(), 'retry: 1000\n\n')
  while (changes.listenerCount('order') === 0) await new Promise(setImmediate)
  changes.emit('order', 1)
  t.equal(await stream.next(), 'id: 1\ndata: [{"title":"<b>Tea</b>"}]\n\n')
  clock.now += 301
  changes.emit('order', 2)
  t.equal(await stream.next(), undefined)
  t.equal(changes.listenerCount('order'), 0)
  t.equal(server.refreshes, 0)

  const again = await browser.get('/live/ready', { 'x-csrf': '1', 'sec-fetch-site': 'same-origin' })
  t.equal(again.status, 204)
  t.equal((await openEvents(browser)).status, 200)
  t.equal(server.refreshes, 1)
  await browser.post('/auth/logout')
  t.equal((await openEvents(browser)).status, 401)
})

test('docs/jobs.md: a worker goes on for a user without the browser, also in a process that has no login, and knows who is gone from what is down', { skip: whyNotRedis() }, async (t) => {
  process.env.REDIS_URL = (await startRedis(t)).url
  const { app, server, clock, modules, enter } = await startPageApp(t, 'jobs.md', { server: { expiresIn: 300 }, options: { clientSecret: 'a secret' } })
  await startOrders(t, server)
  const { queue, work } = Object(modules.get('reports.ts'))
  const { worker } = Object(modules.get('worker.ts'))
  t.teardown(() => worker.close())
  const start = async (browser: Browser) => {
    t.equal((await browser.send('POST', '/reports', { 'x-csrf': '1', 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' }, '{"month":"11"}')).status, 202)
    return queue.pop()
  }
  const browser = await enter()
  const job = await start(browser)
  t.match(job, { sub: 'alice', month: '11' })
  clock.now += 301
  t.equal(await work(worker, job), 'done')
  t.equal(server.refreshes, 1)
  t.equal(await work(app, job), 'done')

  clock.now += 301
  await server.refuseConnections()
  t.equal(await work(worker, job), 'later')
  await server.acceptConnections()
  clock.now += 30
  t.equal(await work(worker, job), 'done')
  await browser.post('/auth/logout')
  t.equal(await work(worker, job), 'nobody')

  const refused = await start(await enter())
  server.end(server.families.at(-1)?.id ?? '')
  clock.now += 301
  t.equal(await work(worker, refused), 'nobody')

  t.match(await Object(modules.get('imports.ts')).importOrders(), [{ title: '<b>Tea</b>' }])
})

test('docs/tenants.md: with one address for all, people of the tenants that are listed log in, and claims say of which they are', async (t) => {
  const [listed, other] = ['aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002']
  const { server, origin } = await startPageApp(t, 'tenants.md', {
    run: ['common.ts'],
    server: { metadataPaths: [`/common/v2.0${openidPath}`] },
    before: (_app, { issuer, settings }) => {
      Object.assign(process.env, { COMMON: `${issuer}/common/v2.0`, TENANTS: listed })
      settings.metadata = { issuer: `${issuer}/{tenantid}/v2.0`, authorization_response_iss_parameter_supported: undefined }
    }
  })
  server.fault(faults.redirectParameter('iss', null), Infinity, 'authorization')
  for (const [tid, status] of [[listed, 303], [other, 400]] as const) {
    const browser = new Browser(origin)
    server.fault(faults.idToken({ tid, iss: `${server.issuer}/${tid}/v2.0` }))
    t.equal((await logIn(browser)).status, status)
    t.match((await browser.get('/whose')), status === 303 ? { status: 200, json: { tenant: tid } } : { status: 401 })
  }
})

/** Two providers, and what an app is told of them. */
async function startTenants (t: Test): Promise<Map<string, AuthorizationServer>> {
  const tenants = new Map<string, AuthorizationServer>()
  for (const name of ['acme', 'globex']) {
    const server = await startAuthorizationServer({ clientId: name, user: `alice of ${name}`, redirectUris: [`http://localhost:3000/${name}/auth/callback`, `http://${name}.localhost:3000/auth/${name}/callback`] })
    t.teardown(() => server.close())
    tenants.set(name, server)
  }
  const list = [...tenants].map(([name, { issuer, settings: { clientId, clientSecret } }]) => ({ name, host: `${name}.localhost:3000`, issuer, clientId, clientSecret }))
  const api = Fastify({ forceCloseConnections: true })
  t.teardown(() => api.close())
  api.get('/orders', async ({ headers }) => ({ of: [...tenants.values()].map((server) => server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '')?.sub).find((sub) => sub !== undefined) }))
  Object.assign(process.env, { TENANT_LIST: JSON.stringify(list), SESSION_KEY: sessionKey, ORIGIN: 'http://localhost:3000', SCHEME: 'http', API: await api.listen({ port: 0, host: '127.0.0.1' }) })
  return tenants
}

test('docs/tenants.md: by path, each tenant has its own login and session, and one browser may have both', async (t) => {
  const tenants = await startTenants(t)
  const { origin } = await startPageApp(t, 'tenants.md', { run: ['by-path.ts'] })
  const browser = new Browser(origin)
  for (const [name, server] of tenants) {
    const start = await browser.get(`/${name}/orders`, page)
    const target = new URL(start.headers.get('location') ?? '')
    t.equal(target.origin, server.issuer)
    t.equal((await browser.get(await authorize(target))).headers.get('location'), `/${name}/orders`)
  }
  for (const name of tenants.keys()) t.match(await browser.get(`/${name}/orders`), { status: 200, json: { of: `alice of ${name}` } })
  await goOn(browser, await browser.post('/acme/auth/logout'))
  t.equal((await browser.get('/acme/orders')).status, 401)
  t.equal((await browser.get('/globex/orders')).status, 200)
  t.match((await new Browser(origin).get('/globex/orders')).json, { loginPath: '/globex/auth/login' })
})

test('docs/tenants.md: by host, routes and handlers find the tenant, and the session of one is none at the other', async (t) => {
  const tenants = await startTenants(t)
  const { origin } = await startPageApp(t, 'tenants.md', { run: ['by-host.ts'] })
  const browsers = new Map([...tenants.keys()].map((name) => [name, new Browser(origin)]))
  for (const [name, server] of tenants) {
    const host = { host: `${name}.localhost:3000` }
    const browser = browsers.get(name) ?? new Browser(origin)
    const start = await browser.get('/', { ...host, ...page })
    t.equal(new URL(start.headers.get('location') ?? '').origin, server.issuer)
    t.equal((await browser.get(await authorize(new URL(start.headers.get('location') ?? '')), host)).headers.get('location'), '/')
    t.match((await browser.get('/', host)).json, { sub: `alice of ${name}` })
    t.match(await browser.get('/orders', host), { status: 200, json: { of: `alice of ${name}` } })
  }
  const acmes = browsers.get('acme') ?? new Browser(origin)
  t.equal((await acmes.get('/orders', { host: 'globex.localhost:3000' })).status, 401)
  t.equal((await acmes.get('/orders', { host: 'elsewhere.localhost:3000' })).status, 404)
  t.equal((await acmes.get('/', { host: 'elsewhere.localhost:3000' })).status, 404)
})

test('docs/keycloak.md: where the provider has an inner address, logins go to the outer one, and tokens and keys come from the inner one', async (t) => {
  const { server, enter, origin } = await startPageApp(t, 'keycloak.md', {
    run: ['two-addresses.ts'],
    before: (_app, { issuer, settings }) => {
      const inner = issuer.replace('127.0.0.1', 'localhost')
      process.env.INNER = inner
      settings.metadata = { token_endpoint: `${inner}/token`, jwks_uri: `${inner}/jwks` }
    }
  })
  t.equal((await startLogin(new Browser(origin))).origin, server.issuer)
  await enter()
  for (const endpoint of ['metadata', 'token', 'jwks'] as const) t.strictSame([...new Set(server.requestsTo(endpoint).map(({ headers }) => headers.host))], [new URL(process.env.INNER ?? '').host], endpoint)
})
