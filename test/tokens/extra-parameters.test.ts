import { test, type Test } from 'tap'
import { clientSecretPost, type EditableRequest, type OutgoingRequest } from '../../lib/index.ts'
import { logIn, startLogin, startLoginApp } from '../support/login-flow.ts'
import { ages, assertNoSecrets, startScenario } from '../support/scenario.ts'
import type { TestAppOptions } from '../support/start-app.ts'

const api = 'https://api.example.com/'
const exchanged = (app: Parameters<NonNullable<TestAppOptions['routes']>>[0]) => app.get('/exchange', async (request) =>
  ({ token: await request.accessToken({ exchange: { audience: 'orders', parameters: { x_exchange: 'of the call' } } }) }))

test('extra parameters go along with the requests of their kind and no others, and headers with all', async (t) => {
  const kinds = ['code', 'refresh', 'exchange', 'revocation'] as const
  const { server, browser, clock } = await startLoginApp(t, {
    parameters: Object.fromEntries(kinds.map((kind) => [kind, { [`x_${kind}`]: kind, audience: kind }])),
    headers: { 'X-Tenant': 'a' },
    login: { pushedAuthorizationRequests: true, parameters: { acr_values: 'phr' } },
    routes: exchanged
  })
  await logIn(browser)
  clock.now += ages.expired
  server.settings.clock = () => clock.now
  t.equal((await browser.get('/exchange')).status, 200)
  await browser.post('/auth/logout')

  const extra = ({ params }: { params: Record<string, string> }) => Object.fromEntries(Object.entries(params).filter(([name]) => name.startsWith('x_') || name === 'audience' || name === 'acr_values'))
  t.strictSame(server.requestsTo('pushedAuthorization').map(extra), [{ acr_values: 'phr' }])
  t.strictSame(server.requestsTo('token').map(extra), [
    { x_code: 'code', audience: 'code' },
    { x_refresh: 'refresh', audience: 'refresh' },
    { x_exchange: 'of the call', audience: 'orders' }
  ], 'what the call itself asks for goes first')
  t.strictSame(server.requestsTo('revocation').map(extra), Array(2).fill({ x_revocation: 'revocation', audience: 'revocation' }))
  for (const endpoint of ['pushedAuthorization', 'token', 'revocation'] as const) {
    for (const { headers, status } of server.requestsTo(endpoint)) t.match({ status, tenant: headers['x-tenant'] }, { status: /20[01]/, tenant: 'a' })
  }
})

test('a function makes extra parameters for each request, and knows what it is for', async (t) => {
  const asked: OutgoingRequest[] = []
  const { server, loginAged, check } = await startScenario(t, {
    parameters: {
      refresh: async (request) => {
        asked.push(request)
        return { turn: String(asked.length), left_out: undefined }
      }
    }
  })
  const browser = await loginAged(ages.expired)
  const { clientId } = server.settings
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  await check(await browser.get('/renew'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  t.strictSame(server.requestsTo('token').map(({ params: { turn, left_out: leftOut } }) => ({ turn, leftOut })), [{ turn: '1', leftOut: undefined }, { turn: '2', leftOut: undefined }])
  t.strictSame(asked, Array(2).fill({ clientId, issuer: server.issuer, endpoint: `${server.issuer}/token`, grant: 'refresh_token' }))
})

test('tokenRequest sees and changes every request to the token service, before any credential is in it', async (t) => {
  const seen: string[] = []
  const { app, server, browser, clock, log } = await startLoginApp(t, {
    server: { clientSecret: 'the-secret-of-the-client' },
    clientSecret: undefined,
    clientAuthentication: clientSecretPost('the-secret-of-the-client'),
    clients: { machine: { parameters: { audience: 'stock' } } },
    headers: { 'x-one': '1', 'x-two': '2' },
    login: { pushedAuthorizationRequests: true },
    tokenRequest: ({ endpoint, grant, parameters, headers }: EditableRequest) => {
      seen.push(`${new URL(endpoint).pathname} ${grant} (${parameters}) ${[...headers]}`)
      if (grant === 'client_credentials') parameters.set('audience', `more ${parameters.get('audience')}`)
      parameters.append('hooked', String(seen.length))
      headers.delete('x-two')
      headers.set('x-hooked', 'yes')
    },
    routes: exchanged
  })
  await logIn(browser)
  server.settings.clock = () => clock.now
  clock.now += ages.expired
  t.equal((await browser.get('/exchange')).status, 200)
  await app.clientAccessToken('machine')
  await browser.post('/auth/logout')

  t.match(seen, [
    /^\/par undefined \(scope=openid.*\) x-one,1,x-two,2$/,
    /^\/token authorization_code \(\) x-one,1/,
    /^\/token refresh_token \(\) x-one,1/,
    /^\/token urn:ietf:params:oauth:grant-type:token-exchange \(audience=orders&x_exchange=of\+the\+call\) x-one,1/,
    /^\/token client_credentials \(audience=stock\) x-one,1/,
    /^\/revoke undefined \(\) x-one,1/,
    /^\/revoke undefined \(\) x-one,1/
  ])
  t.equal(seen.length, 7)
  assertNoSecrets(t, server, [...seen, ...log])
  const requests = server.requests.filter(({ method }) => method === 'POST')
  t.strictSame(requests.map(({ params, headers, clientAuthentication }) => ({ hooked: params.hooked, one: headers['x-one'], two: headers['x-two'], by: headers['x-hooked'], clientAuthentication })),
    seen.map((_, index) => ({ hooked: String(index + 1), one: '1', two: undefined, by: 'yes', clientAuthentication: 'client_secret_post' })))
  t.equal(server.requestsTo('token', 'client_credentials')[0]?.params.audience, 'more stock')
})

test('a retry is prepared anew', async (t) => {
  let turn = 0
  const { server, loginAged, check } = await startScenario(t, { tokenRequest: ({ parameters }) => { parameters.set('turn', String(++turn)) } })
  const browser = await loginAged(ages.expired)
  server.fault({ instead: () => ({ status: 503, headers: { 'retry-after': '0' }, body: '' }) })
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 2, told: ['refreshed'] })
  t.strictSame(server.requestsTo('token').map(({ params }) => params.turn), ['1', '2'])
})

const failing: Record<string, TestAppOptions> = {
  'a tokenRequest that throws': { tokenRequest: () => { throw new Error('no, not this one') } },
  'a tokenRequest that rejects': { tokenRequest: async () => await Promise.reject(new Error('no, not this one')) },
  'a tokenRequest that sets a credential': { tokenRequest: ({ parameters }) => { parameters.set('refresh_token', 'another') } },
  'a tokenRequest that sets a header of the client\'s': { tokenRequest: ({ headers }) => { headers.set('Authorization', 'Basic x') } },
  'a function of parameters that throws': { parameters: { refresh: () => { throw new Error('no, not this one') } } },
  'a function of parameters that sets the grant': { parameters: { refresh: () => ({ grant_type: 'password' }) } }
}

for (const [what, options] of Object.entries(failing)) {
  test(`${what}: nothing is sent, a clear error, and the session is as it was`, async (t) => {
    let isOn = true
    const { tokenRequest, parameters } = options
    const { loginAged, check, clock, logged } = await startScenario(t, {
      ...(tokenRequest && { tokenRequest: (request) => isOn ? tokenRequest(request) : undefined }),
      ...(typeof parameters?.refresh === 'function' && { parameters: { refresh: (request) => isOn && typeof parameters.refresh === 'function' ? parameters.refresh(request) : {} } })
    })
    const browser = await loginAged(ages.inWindow)
    await check(await browser.get('/token'), { status: 200, told: ['failed: refused'] }, 'a token that is still valid serves')
    clock.now += ages.expired - ages.inWindow
    const answer = await browser.get('/token')
    await check(answer, { status: 500, code: 'FST_TOKEN_HOOK_FAILED', told: ['failed: refused'] })
    t.match(answer.json.message, /^Nothing was sent to the provider: (tokenRequest|parameters\.refresh) (has failed, see the cause|sets (refresh_token|authorization|grant_type), which)/)
    await logged(/"level":50.*Nothing was sent/)
    isOn = false
    clock.now += 6
    await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  })
}

test('a tokenRequest that never ends is left at the deadline: 503, and nothing was sent', async (t) => {
  const { loginAged, check } = await startScenario(t, { requestTimeout: 0.2, tokenRequest: () => new Promise(() => {}) })
  const browser = await loginAged(ages.expired)
  await check(await browser.get('/token'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 1, told: ['failed: unavailable'] })
})

test('a client\'s token whose request the app fails is a 500 that says so', async (t) => {
  const { app, server } = await startScenario(t, { clients: { machine: {} }, tokenRequest: ({ parameters }) => { parameters.set('client_id', 'another') } })
  await t.rejects(app.clientAccessToken('machine'), { code: 'FST_TOKEN_HOOK_FAILED', statusCode: 500, message: /sets client_id/ })
  t.equal(server.tokenRequests, 0)
})

/** The query of the authorization request that a login of this app starts. */
async function authorizationQuery (t: Test, login: object, path?: string): Promise<URLSearchParams> {
  const { browser } = await startLoginApp(t, { login })
  return (await startLogin(browser, path)).searchParams
}

test('a login has parameters of the app\'s, and takes none of the browser\'s but by a function of the app', async (t) => {
  const query = '/auth/login?login_hint=bob&prompt=none&client_id=mallory&acr_values=low'
  t.match(Object.fromEntries(await authorizationQuery(t, { parameters: { audience: api, acr_values: 'phr' } }, query)), { audience: api, acr_values: 'phr', client_id: 'web', prompt: undefined, login_hint: undefined })
  const byFunction = async (request: { query: unknown }) => ({ login_hint: new URLSearchParams(Object(request.query)).get('login_hint') ?? undefined, prompt: undefined })
  t.match(Object.fromEntries(await authorizationQuery(t, { parameters: byFunction }, query)), { login_hint: 'bob', acr_values: undefined })
  t.notOk((await authorizationQuery(t, { parameters: byFunction }, query)).has('prompt'))
  t.notOk((await authorizationQuery(t, { parameters: () => undefined })).has('login_hint'))
})

test('a function of a login\'s parameters that fails, or sets what is not the app\'s to set, starts no login', async (t) => {
  const wrong: Array<[() => unknown, RegExp]> = [
    [() => { throw new Error('no') }, /login\.parameters has failed, see the cause/],
    [() => ({ state: 'x' }), /login\.parameters sets state, which/],
    [() => ({ scope: 'x' }), /login\.parameters sets scope, which/],
    [() => ({ max_age: 5 }), /login\.parameters gives no text for max_age/]
  ]
  for (const [parameters, message] of wrong) {
    const { browser, server } = await startLoginApp(t, { login: { parameters: parameters as () => Record<string, string> } })
    t.match(await browser.get('/auth/login'), { status: 500, json: { code: 'FST_TOKEN_HOOK_FAILED', message } })
    t.equal(browser.cookies.size, 0)
    t.equal(server.requestsTo('authorization').length, 0)
  }
})

for (const pushed of [false, true]) {
  test(`R29 a login asks for its resources${pushed ? ', pushed' : ''}: its own token is for the first and stays so, and one refresh token serves the others`, async (t) => {
    const stock = 'https://stock.example.com'
    const { server, browser, clock } = await startLoginApp(t, {
      login: { resource: [api, stock], pushedAuthorizationRequests: pushed },
      routes: (app) => {
        const config = { tokens: false } as const
        app.get('/stock', { config }, async (request) => ({ token: await request.accessToken({ resource: stock }) }))
        app.get('/same', { config }, async (request) => ({ token: await request.accessToken({ resource: api }) }))
        app.get('/narrow', { config }, async (request) => ({ token: await request.accessToken({ scope: 'orders' }) }))
        app.get('/unnamed', { config }, async (request) => ({ token: await request.accessToken({ resource: 'https://unnamed.example.com' }) }))
      }
    })
    server.settings.clock = () => clock.now
    t.equal((await logIn(browser)).status, 303)
    const resourceAt = async (path: string) => server.whoHas(String((await browser.get(path)).json.token))?.resource
    t.equal(await resourceAt('/token'), api)
    t.equal(await resourceAt('/same'), api)
    t.equal(server.tokenRequests, 1, 'which is one and the same token')
    t.equal(await resourceAt('/stock'), stock)
    t.equal(await resourceAt('/narrow'), api)
    clock.now += ages.expired
    t.equal(await resourceAt('/token'), api, 'after a refresh, too')
    t.match(server.requestsTo('token').map(({ params }) => params.resource), [api, stock, api, api])
    t.match(await browser.get('/unnamed'), { status: 502, json: { code: 'FST_TOKEN_SERVICE_REFUSED' } })
    t.equal((await browser.get('/token')).status, 200, 'and nothing is lost')
    t.equal(server.families[0]?.alive, true)
  })
}
