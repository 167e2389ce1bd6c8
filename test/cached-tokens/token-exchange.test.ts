import { test, type Test } from 'tap'
import type { AccessTokenParameters, TokenExchange } from '../../lib/index.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import type { Answer, Browser } from '../support/browser.ts'
import { ages, startScenario, type Scenario } from '../support/scenario.ts'
import type { TestAppOptions } from '../support/start-app.ts'

const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
const api = 'https://api.example.com/'

interface ExchangeScenario extends Scenario {
  /** What `request.accessToken()` gives one request for these parameters, without the hook. */
  ask (browser: Browser, parameters: AccessTokenParameters & { optional?: boolean }): Promise<Answer>
  /** The token exchanges so far. */
  readonly exchanges: number
}

async function startExchange (t: Test, options: TestAppOptions = {}, settings: Partial<Settings> = {}): Promise<ExchangeScenario> {
  const scenario = await startScenario(t, {
    routes: (app) => {
      const config = { tokens: false } as const
      app.get<{ Headers: { parameters: string } }>('/exchange', { config }, async (request) => ({ token: await request.accessToken(JSON.parse(request.headers.parameters)) }))
      app.get('/revoke', { config }, async (request) => { await request.tokens.revoke(); return {} })
      app.get('/again', { config }, async (request, reply) => {
        reply.hijack()
        reply.raw.writeHead(200).flushHeaders()
        const failed = await request.accessToken({ exchange: { audience: 'orders' } }).catch(({ code }: { code: string }) => code)
        reply.raw.end(JSON.stringify({ failed }))
      })
    },
    ...options
  }, settings)
  const ask = (browser: Browser, parameters: object) => browser.get('/exchange', { parameters: JSON.stringify(parameters) })
  return { ...scenario, ask, get exchanges () { return scenario.server.requestsTo('token', grant).length } }
}

const orders = { exchange: { audience: 'orders' } }

test('R30 the session\'s token is exchanged for one that the API takes: the subject with its type, an actor with its own, and an issued_token_type', async (t) => {
  const { server, login, ask, check } = await startExchange(t)
  const browser = await login()
  const own = String((await browser.get('/token')).json.token)
  const first = await ask(browser, orders)
  await check(first, { status: 200, tokenRequests: 1 })
  t.match(server.whoHas(String(first.json.token)), { sub: 'alice', resource: 'orders' })
  const tokenType = 'urn:ietf:params:oauth:token-type:access_token'
  const [request] = server.requestsTo('token', grant)
  t.strictSame(request?.params, { grant_type: grant, subject_token: own, subject_token_type: tokenType, audience: 'orders' })
  t.match(request, { clientAuthentication: 'client_secret_basic', headers: { accept: 'application/json' } })

  const everything = { audience: 'stock', resource: api, scope: 'write read', requestedTokenType: tokenType, actor: { token: own, tokenType }, parameters: { requested_issuer: 'x' } }
  const second = await ask(browser, { exchange: everything })
  await check(second, { status: 200, tokenRequests: 1 })
  t.match(server.whoHas(String(second.json.token)), { sub: 'alice', resource: api, scope: 'read write' })
  t.match(server.requestsTo('token', grant)[1]?.params, { resource: api, scope: 'read write', requested_token_type: tokenType, actor_token: own, actor_token_type: tokenType, requested_issuer: 'x' })

  server.fault(faults.without('issued_token_type'))
  await check(await ask(browser, { exchange: { audience: 'third' } }), { status: 502, code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', tokenRequests: 1 })
  server.fault(faults.members({ token_type: 'N_A' }))
  await check(await ask(browser, { exchange: { audience: 'fourth' } }), { status: 502, code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', tokenRequests: 1 })
})

test('R33 R34 in a DPoP session the exchange carries a proof of the session\'s key, and what it brings is bound to it', async (t) => {
  const { server, login, ask, check } = await startExchange(t, {}, { dpop: true, dpopNonce: 'issued' })
  const browser = await login()
  await check(await ask(browser, orders), { status: 200, tokenRequests: 2 }, 'R35 the second time with the nonce')
  t.match(server.requestsTo('token', grant)[1], { status: 200, proof: { alg: 'ES256' } })
  server.fault(faults.members({ token_type: 'Bearer' }))
  await check(await ask(browser, { exchange: { audience: 'stock' } }), { status: 502, code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', tokenRequests: 1 })
})

test('what it brings is kept for the session until it is time for a new one, whatever the session\'s own token does meanwhile', async (t) => {
  const { server, login, ask, check, clock } = await startExchange(t, {}, { expiresIn: 1000 })
  const browser = await login({ expiresIn: 300 })
  const { json: { token } } = await ask(browser, orders)
  clock.now += ages.inWindow
  const later = await ask(browser, orders)
  t.equal(later.json.token, token)
  await check(later, { status: 200, cookie: 'set', tokenRequests: 2, told: ['refreshed'] })
  clock.now += 690
  const renewed = await ask(browser, orders)
  t.not(renewed.json.token, token)
  t.equal(server.requestsTo('token', grant).length, 2)
})

test('30 requests at once cost one exchange; each session has its own, and each set of parameters', async (t) => {
  const scenario = await startExchange(t)
  const { server, login, ask, atOnce } = scenario
  const [alice, bob] = [await login(), await login({ sub: 'bob' })]
  const gate = server.hold()
  const answers = await atOnce(gate, [...Array.from({ length: 30 }, () => () => ask(alice.clone(), orders)), () => ask(bob, orders)])
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ json }) => json.token)).size, 2)
  t.equal(scenario.exchanges, 2)
  t.equal(server.whoHas(String(answers.at(-1)?.json.token))?.sub, 'bob')

  const different: AccessTokenParameters[] = [{ resource: api, ...orders }, ...[{ audience: 'stock' }, { resource: api }, { audience: 'orders', scope: 'a b' }, { audience: 'orders', parameters: { x: '1', y: '2' } }].map((exchange) => ({ exchange }))]
  const tokens = new Set([answers[0]?.json.token])
  for (const parameters of different) tokens.add((await ask(alice, parameters)).json.token)
  t.equal(tokens.size, 6)
  for (const exchange of [{ scope: ' b a', audience: 'orders' }, { parameters: { y: '2', x: '1' }, audience: 'orders' }]) {
    t.ok(tokens.has((await ask(alice, { exchange })).json.token), 'the order says nothing')
  }
  t.equal(scenario.exchanges, 7)
  t.equal(server.requestsTo('token', grant)[2]?.params.subject_token, (await ask(alice, { resource: api })).json.token, 'the subject is the token for that resource')
})

test('forceRenewal is about the token that was issued', async (t) => {
  const scenario = await startExchange(t)
  const { server, login, ask } = scenario
  const browser = await login()
  const { json: { token } } = await ask(browser, orders)
  const renewed = await ask(browser, { ...orders, forceRenewal: String(token) })
  t.not(renewed.json.token, token)
  t.equal((await ask(browser, { ...orders, forceRenewal: String(token) })).json.token, renewed.json.token)
  t.equal(scenario.exchanges, 2)
  t.equal(server.refreshes, 0)
})

test('parameters that cannot be asked for, or are not the app\'s to set, are refused before anything is sent', async (t) => {
  const { login, ask, check, clock } = await startExchange(t)
  const browser = await login()
  clock.now += ages.expired
  const wrong: TokenExchange[] = [{ resource: 'orders' }, { scope: '"' }, { audience: 'a', parameters: { subject_token: 'x' } }, { audience: 'a', parameters: { client_id: 'x' } }]
  for (const exchange of wrong) {
    await check(await ask(browser, { exchange }), { status: 500, code: 'FST_TOKEN_INVALID_PARAMETERS' }, JSON.stringify(exchange))
  }
})

test('without a session there is nothing to exchange: 401, or null where that is optional', async (t) => {
  const { login, ask, check } = await startExchange(t)
  const browser = await login()
  browser.cookies.clear()
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_UNAUTHENTICATED' })
  t.equal((await ask(browser, { ...orders, optional: true })).json.token, null)
})

test('a subject token that the service does not take is renewed once, and the exchange with it', async (t) => {
  for (const refusal of [{}, faults.oauthError('invalid_grant'), faults.oauthError('invalid_token', 401)]) {
    const { server, login, ask, check } = await startExchange(t)
    const browser = await login()
    const { json: { token } } = await browser.get('/token')
    server.invalidate(String(token))
    server.fault(refusal)
    const answer = await ask(browser, orders)
    await check(answer, { status: 200, cookie: 'set', tokenRequests: 3, told: ['refreshed'] })
    t.equal(server.whoHas(String(answer.json.token))?.resource, 'orders')
  }
})

test('where a new subject token does not help it is a 401 whose session is as it was, and no more tokens are spent on it', async (t) => {
  const { server, login, ask, check, clock, logged } = await startExchange(t)
  const browser = await login()
  server.fault({ alter: (answer) => 'refresh_token' in Object(answer.body) ? answer : { status: 400, headers: {}, body: { error: 'invalid_grant' } } }, Infinity)
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', cookie: 'set', tokenRequests: 3, told: ['refreshed'] })
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED' }, 'not asked again at once')
  clock.now += 6
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1 }, 'and then without a renewal')
  await logged(/"level":30.*invalid_grant/)
  server.clearFaults()
  clock.now += 6
  const granted = await ask(browser, orders)
  await check(granted, { status: 200, tokenRequests: 1 })
  const { json: { token } } = await browser.get('/token')
  await check(await browser.get('/token'), { status: 200 }, 'the session lives')
  server.invalidate(String(token))
  await check(await ask(browser, { ...orders, forceRenewal: true }), { status: 200, cookie: 'set', tokenRequests: 3, told: ['refreshed'] }, 'once it was granted, a renewal is worth a try again')
})

test('a session that ends while its token is renewed for an exchange is a 401', async (t) => {
  const { server, login, ask, check } = await startExchange(t)
  const browser = await login()
  server.end(server.families[0]?.id ?? '')
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 2, told: ['failed: ended, the end'] })
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED' }, 'and the dead refresh token is not sent again')
})

test('an outage, a user who is asked for, and a client that is refused mean what they mean elsewhere, and end no session', async (t) => {
  const { server, login, ask, check, clock } = await startExchange(t)
  const browser = await login()
  server.fault(faults.empty(500))
  await check(await ask(browser, orders), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 1, tokenRequests: 1 })
  await check(await ask(browser, orders), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 1 }, 'nobody waits')
  clock.now += 2
  server.fault(faults.oauthError('interaction_required'))
  await check(await ask(browser, orders), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1 })
  clock.now += 6
  server.fault(faults.oauthError('invalid_target'))
  await check(await ask(browser, orders), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1 })
  clock.now += 6
  server.fault(faults.resetAfter())
  await check(await ask(browser, orders), { status: 200, tokenRequests: 2 }, 'R19 and it may be sent again')
})

for (const [name, fault] of Object.entries({ 'a 429 with Retry-After': faults.retryAfter(429, 300), 'a 500': faults.empty(500), 'a gateway\'s 502': faults.html(502) })) {
  test(`F3 ${name} for one exchange is no matter of the others, of other sessions, or of the session's own token`, async (t) => {
    const { server, login, ask, check, clock } = await startExchange(t)
    const [browser, other] = [await login(), await login()]
    server.fault(fault)
    t.match(await ask(browser, orders), { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
    t.match(await ask(browser, orders), { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
    t.equal(server.tokenRequests, 1, 'it costs the service one request in its own pause')
    t.equal((await ask(browser, { exchange: { audience: 'stock' } })).status, 200)
    t.equal((await ask(other, orders)).status, 200)
    clock.now += ages.expired
    t.equal((await browser.get('/token')).status, 200)
    await check(await browser.get('/token'), { status: 200, tokenRequests: 4, told: ['refreshed'] })
  })
}

test('F12 a refused exchange of a session without a refresh token is its own matter, and paused', async (t) => {
  const { server, save, ask, check } = await startExchange(t)
  const { refresh_token: _, ...tokens } = await server.issue()
  const browser = await save(tokens)
  server.fault(faults.oauthError('invalid_request'))
  await check(await ask(browser, orders), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1 })
  await check(await ask(browser, orders), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED' })
})

for (const status of [400, 401, 403]) {
  test(`F12 an exchange that is refused with an empty ${status} is a 502 of the exchange, and the session is not mentioned`, async (t) => {
    const { server, login, ask, check } = await startExchange(t)
    const browser = await login()
    server.fault(faults.empty(status))
    const answer = await ask(browser, orders)
    await check(answer, { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1 })
    t.notMatch(String(answer.json.message), /session|login/i)
    await check(await ask(browser, orders), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED' }, 'not asked again at once')
    await check(await browser.get('/token'), { status: 200 })
  })
}

for (const when of ['before', 'after'] as const) {
  test(`a logout drops what was issued ${when} it`, async (t) => {
    const { server, login, ask, check, clock } = await startExchange(t, {}, { expiresIn: 10_000 })
    const browser = await login()
    const late = browser.clone()
    const gate = server.hold({ what: 'answers' })
    const running = ask(late, orders)
    await gate.arrived()
    if (when === 'before') {
      gate.release()
      await check(await running, { status: 200, tokenRequests: 1 })
    }
    await check(await browser.get('/revoke'), { status: 200, cookie: 'cleared', tokenRequests: when === 'before' ? 0 : 1, told: ['ended: logout'] })
    gate.release()
    if (when === 'after') await check(await running, { status: 401, code: 'FST_TOKEN_UNAUTHENTICATED' })
    await check(await ask(late, orders), { status: 401, code: 'FST_TOKEN_UNAUTHENTICATED' })
    clock.now += 3601
    await check(await ask(late, orders), { status: 401, code: 'FST_TOKEN_UNAUTHENTICATED' }, 'and a copy of the cookie opens nothing later either')
  })
}

test('once the headers are sent an exchange still works, but renews no session token', async (t) => {
  const { server, login, check } = await startExchange(t)
  const browser = await login()
  server.invalidate(String((await browser.get('/token')).json.token))
  const answer = await browser.get('/again')
  t.strictSame(answer.json, { failed: 'FST_TOKEN_HEADERS_SENT' })
  await check(await browser.get('/token'), { status: 200, tokenRequests: 1 })
})
