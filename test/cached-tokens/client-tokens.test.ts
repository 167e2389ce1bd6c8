import { test, type Test } from 'tap'
import tokenManagement, { clientSecretPost, type ClientTokenParameters, type TokenManagementOptions } from '../../lib/index.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { assertNoSecrets } from '../support/scenario.ts'
import { sessionKey, startApp, type TestApp } from '../support/start-app.ts'

interface ClientApp extends TestApp {
  readonly server: AuthorizationServer
  /** Asks for the token of a client: the token, or the error. */
  ask (name: string, parameters?: ClientTokenParameters): Promise<string>
}

const api = 'https://api.example.com/'

async function startClientApp (t: Test, clients: TokenManagementOptions['clients'] = { orders: { scope: ['read', 'write'], resource: api } }, settings: Partial<Settings> = {}): Promise<ClientApp> {
  const server = await startAuthorizationServer({ clientSecret: 'the-secret-of-the-client', ...settings })
  t.teardown(() => server.close())
  const started = await startApp(t, server, { clients })
  server.settings.clock = () => started.clock.now
  return { ...started, server, ask: (name, parameters) => started.app.clientAccessToken(name, parameters) }
}

test('a client gets a token of its own, without a user, for the scope and resource it is declared with', async (t) => {
  const { server, ask } = await startClientApp(t)
  const token = await ask('orders')
  t.match(server.whoHas(token), { sub: 'web', scope: 'read write', resource: api })
  t.match(server.requestsTo('token')[0], { params: { grant_type: 'client_credentials', scope: 'read write', resource: api }, clientAuthentication: 'client_secret_basic' })
})

test('a token is kept until it is time for a new one, and 50 callers at once cost one request', async (t) => {
  const { server, ask, clock } = await startClientApp(t)
  const tokens = await Promise.all(Array.from({ length: 50 }, () => ask('orders')))
  t.equal(new Set(tokens).size, 1)
  clock.now += 239
  t.equal(await ask('orders'), tokens[0])
  t.equal(server.tokenRequests, 1)
  clock.now += 1
  t.not(await ask('orders'), tokens[0])
  t.equal(server.tokenRequests, 2)
})

test('forceRenewal brings a new token; ten callers with the same rejected token cost one', async (t) => {
  const { server, ask } = await startClientApp(t)
  const token = await ask('orders')
  const renewed = await Promise.all(Array.from({ length: 10 }, () => ask('orders', { forceRenewal: token })))
  t.equal(new Set(renewed).size, 1)
  t.not(renewed[0], token)
  t.equal(await ask('orders', { forceRenewal: token }), renewed[0], 'a late one gets what there is')
  t.equal(server.tokenRequests, 2)
  t.not(await ask('orders', { forceRenewal: true }), renewed[0])
  t.equal(server.tokenRequests, 3)
})

test('the key of a token holds the client, the resource and the scope, whatever the order of the scope', async (t) => {
  const { server, ask } = await startClientApp(t, { a: {}, b: {} })
  const asked: Array<[string, ClientTokenParameters]> = [['a', {}], ['b', {}], ['a', { scope: 'x y' }], ['a', { resource: api }], ['a', { resource: `${api}2` }], ['a', { resource: api, scope: 'x y' }]]
  const tokens = await Promise.all(asked.map(([name, parameters]) => ask(name, parameters)))
  t.equal(new Set(tokens).size, asked.length)
  t.equal(await ask('a', { scope: ' y x  y' }), tokens[2])
  t.equal(server.tokenRequests, asked.length)
  t.match(server.whoHas(tokens[5] ?? ''), { scope: 'x y', resource: api })
})

test('R29 a resource or scope that nothing can be asked for with is refused before it is', async (t) => {
  const { server, ask } = await startClientApp(t)
  for (const parameters of [{ resource: 'orders' }, { resource: `${api}#part` }, { resource: '' }, { resource: 'https://a b' }, { scope: 'naïve' }, { scope: '"' }]) {
    await t.rejects(ask('orders', parameters), { code: 'FST_TOKEN_INVALID_PARAMETERS', statusCode: 500 }, JSON.stringify(parameters))
  }
  t.equal(server.tokenRequests, 0)
})

test('a client may be another than the provider\'s own, with its own authentication and parameters', async (t) => {
  const { server, ask } = await startClientApp(t, {
    machine: { clientId: 'machine', clientAuthentication: clientSecretPost('another-secret'), parameters: { audience: 'orders' } },
    basic: { clientId: 'machine', clientSecret: 'another-secret' }
  }, { clientId: 'machine', clientSecret: 'another-secret' })
  t.equal(server.whoHas(await ask('machine'))?.sub, 'machine')
  t.match(server.requestsTo('token')[0], { params: { audience: 'orders' }, clientAuthentication: 'client_secret_post' })
  await ask('basic')
  t.match(server.requestsTo('token')[1], { clientAuthentication: 'client_secret_basic' })
})

test('a client that nobody has declared is told by name', async (t) => {
  const { ask } = await startClientApp(t, { a: {}, b: {} })
  await t.rejects(ask('c'), { code: 'FST_TOKEN_UNKNOWN_CLIENT', statusCode: 500, message: /name c\. .*: a, b\./ })
  const none = await startClientApp(t, {})
  await t.rejects(none.ask('c'), { code: 'FST_TOKEN_UNKNOWN_CLIENT', message: /: none\./ })
})

test('a client belongs to the registration that declares it', async (t) => {
  const second = await startAuthorizationServer({ clientId: 'another' })
  t.teardown(() => second.close())
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const registration = { name: 'second', issuer: second.issuer, clientId: 'another', clientSecret: 'a secret', session: { key: sessionKey }, dpop: second.settings.dpop }
  const startWith = async (clients: TokenManagementOptions['clients']) => await startApp(t, server, {
    clients: { orders: {} },
    routes: async (app) => { await app.register(tokenManagement, { ...registration, clients }) }
  })
  await t.rejects(startWith({ orders: {} }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /clients\.orders: another registration/ })
  const { app } = await startWith({ stock: {} })
  t.equal(second.whoHas(await app.clientAccessToken('stock'))?.sub, 'another')
  t.equal(server.whoHas(await app.clientAccessToken('orders'))?.sub, 'web')
})

test('an outage: a token that is still valid serves, an expired one is a 503 with Retry-After, and nobody waits during the pause', async (t) => {
  const { server, ask, clock } = await startClientApp(t)
  const token = await ask('orders')
  clock.now += 250
  server.fault(faults.answer(500), Infinity)
  t.equal(await ask('orders'), token)
  await t.rejects(ask('orders', { forceRenewal: token }), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE', statusCode: 503, headers: { 'retry-after': '1' } })
  t.equal(server.tokenRequests, 2, 'and it was not asked')
  server.clearFaults()
  clock.now += 31
  const next = await ask('orders')
  t.not(next, token)
  clock.now += 1000
  server.fault(faults.answer(500), Infinity)
  await t.rejects(ask('orders'), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
})

test('the outage of a refresh is the outage of the client tokens too: they ask the same service', async (t) => {
  const { server, ask, clock, login } = await startClientApp(t)
  const browser = await login()
  clock.now += 301
  server.fault(faults.empty(502), Infinity)
  t.equal((await browser.get('/token')).status, 503)
  await t.rejects(ask('orders'), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
  t.equal(server.tokenRequests, 1)
})

for (const [name, fault] of Object.entries({ 'a 500': faults.empty(500), 'a 429 with Retry-After': faults.retryAfter(429, 300), 'a 502 where the service is alive': faults.empty(502), 'a lost answer': faults.resetAfter() })) {
  test(`F3 ${name} for one session is no matter of the client's own tokens, nor the other way round`, async (t) => {
    const { server, ask, clock, login } = await startClientApp(t)
    const browser = await login()
    clock.now += 301
    server.fault(fault)
    t.equal((await browser.get('/token')).status, 503)
    t.ok(server.whoHas(await ask('orders')))

    const other = await login()
    clock.now += 301
    server.fault(fault, 20)
    await t.rejects(ask('orders'), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
    server.clearFaults()
    t.equal((await other.get('/token')).status, 200)
  })
}

test('a request whose answer was lost is sent again: nothing was spent', async (t) => {
  const { server, ask } = await startClientApp(t)
  server.fault(faults.resetAfter())
  t.ok(server.whoHas(await ask('orders')))
  t.equal(server.tokenRequests, 2)
})

test('a client that is refused is a 502, logged at error, and asks again after a pause', async (t) => {
  const { server, ask, clock, log, logged } = await startClientApp(t)
  for (const [fault, pattern] of [
    [faults.oauthError('invalid_client', 401), /invalid_client/],
    [faults.oauthError('invalid_grant'), /invalid_grant/],
    [faults.empty(403), /status 403/]
  ] as const) {
    server.forgetRequests()
    server.fault(fault)
    await t.rejects(ask('orders'), { code: 'FST_TOKEN_SERVICE_REFUSED', statusCode: 502, message: pattern })
    await t.rejects(ask('orders'), { code: 'FST_TOKEN_SERVICE_REFUSED', message: pattern }, 'nobody asks again at once')
    t.equal(server.tokenRequests, 1)
    clock.now += 40
    t.ok(server.whoHas(await ask('orders', { forceRenewal: true })), 'but later')
    clock.now += 400
  }
  t.match(JSON.parse(await logged(/invalid_client/)), { level: 50 })
  assertNoSecrets(t, server, log)
})

test('an answer that is no token, or of another type, is a 502', async (t) => {
  const { server, ask, clock } = await startClientApp(t)
  for (const fault of [faults.html(), faults.notJson(), faults.without('access_token'), faults.members({ token_type: 'mac' })]) {
    server.fault(fault)
    await t.rejects(ask('orders'), { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', statusCode: 502 })
    clock.now += 10
  }
})
