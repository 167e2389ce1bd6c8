/* What the UserInfo endpoint says at a login (OpenID Connect Core §5.3). */
import { test, type Test } from 'tap'
import type { TokenManagementOptions, TokenSet } from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, logIn, startLogin, startLoginApp, type LoginAppOptions } from '../support/login-flow.ts'
import { startRealProvider } from '../support/real-provider.ts'
import { sessionKey, startApp } from '../support/start-app.ts'

const config = { tokens: false } as const

/** An app that asks; the id_token says who it is and no more, and the endpoint has an address and a number. */
async function start (t: Test, { login, routes, server, ...options }: LoginAppOptions = {}) {
  return await startLoginApp(t, {
    login: { userInfo: true, ...login },
    server: { userinfoClaims: { email: 'alice@example.com', phone_number: '1', name: 'Alice' }, ...server },
    routes: async (app) => {
      app.get('/who', { config }, async (request) => ({ claims: await request.tokens.claims() }))
      await routes?.(app)
    },
    ...options
  })
}

const claimsOf = async (browser: Browser) => (await browser.get('/who')).json.claims

test('a login keeps of it what session.claims names, and refreshes do not ask again', async (t) => {
  const { browser, server, clock } = await start(t)
  await logIn(browser)
  t.match(await claimsOf(browser), { sub: 'alice', email: 'alice@example.com', name: 'Alice', sid: String, iat: Number })
  t.notOk(Object.hasOwn(Object(await claimsOf(browser)), 'phone_number'))
  const [request, ...others] = server.requestsTo('userinfo')
  t.strictSame(others, [])
  t.match(request, { method: 'GET', status: 200, body: '', headers: { authorization: /^(Bearer|DPoP) / } })
  clock.now += 301
  t.equal((await browser.get('/token')).status, 200)
  t.match(await claimsOf(browser), { email: 'alice@example.com' }, 'a refreshed id_token that says less takes none away')
  t.equal(server.requestsTo('userinfo').length, 1)
})

test('what the id_token says itself is kept as that says it', async (t) => {
  const { browser } = await start(t, { server: { idTokenClaims: { name: 'Alice Liddell' }, userinfoClaims: { name: 'alice', email: 'a@example.com', iat: 1, sid: 'x' } } })
  await logIn(browser)
  const claims = Object(await claimsOf(browser))
  t.match(claims, { name: 'Alice Liddell', email: 'a@example.com' })
  t.ok(claims.iat > 1 && claims.sid !== 'x')
})

test('onLogin is told of it, and onTokens where the app keeps the tokens itself', async (t) => {
  for (const [name, saveTokens] of [['onLogin', true], ['onTokens', false]] as const) {
    const told: unknown[] = []
    const tell: NonNullable<NonNullable<TokenManagementOptions['login']>['onLogin']> = (_request, _reply, tokens, claims) => { told.push(tokens.claims, claims) }
    const { browser } = await start(t, { login: { saveTokens, [name]: tell } })
    await logIn(browser)
    t.match(told, [{ email: 'alice@example.com' }, { sub: 'alice', iss: String, email: 'alice@example.com' }], name)
  }
})

test('nobody asks unless the option says so', async (t) => {
  const { browser, server } = await start(t, { login: { userInfo: false } })
  await logIn(browser)
  t.equal(server.requestsTo('userinfo').length, 0)
  t.notOk(Object.hasOwn(Object(await claimsOf(browser)), 'email'))
})

test('R32 R35 R36 with DPoP it is asked with a proof of the session\'s key, and again with the nonce that it wants', async (t) => {
  for (const dpopNonce of [null, 'newest', 'once'] as const) {
    const { browser, server } = await start(t, { server: { dpop: true, dpopNonce } })
    await logIn(browser)
    t.match(await claimsOf(browser), { email: 'alice@example.com' }, String(dpopNonce))
    const asked = server.requestsTo('userinfo')
    t.match(asked.at(-1), { status: 200, headers: { authorization: /^DPoP /, dpop: /^ey/ } })
    t.strictSame(asked.slice(0, -1).map(({ error }) => error).filter((error) => error !== 'use_dpop_nonce'), [])
  }
})

test('R35 with DPoP a nonce that was outdated between the two requests costs one more try', async (t) => {
  const { browser, server } = await start(t, { server: { dpop: true, dpopNonce: 'issued' } })
  const gate = server.hold({ endpoint: 'userinfo' })
  const going = logIn(browser)
  await gate.arrived()
  server.expireNonces()
  gate.release()
  t.equal((await going).status, 303)
  t.strictSame(server.requestsTo('userinfo').map(({ error }) => error), ['use_dpop_nonce', undefined])
  t.match(await claimsOf(browser), { email: 'alice@example.com' })
})

test('R35 the nonce is wanted in the challenge alone, as RFC 9449 §9 has it', async (t) => {
  const { browser, server } = await start(t, { server: { dpop: true, dpopNonce: 'issued' } })
  const nonce = server.nextNonce()
  server.fault(faults.answer(401, '', { 'www-authenticate': 'Bearer, DPoP error="use_dpop_nonce", error_description="x"', 'dpop-nonce': nonce }), 1, 'userinfo')
  await logIn(browser)
  t.match(await claimsOf(browser), { email: 'alice@example.com' })
  t.equal(server.requestsTo('userinfo').length, 2)
})

const failures: Array<[what: string, fault: Fault, says: RegExp]> = [
  ['is down', faults.empty(503), /status 503/],
  ['says nothing', faults.silence(), /not within 1 s/],
  ['resets the connection', faults.resetBefore(), /No answer from/],
  ['refuses the token', faults.answer(401, '', { 'www-authenticate': 'Bearer realm="x", error="invalid_token"' }), /invalid_token/],
  ['refuses the scope', faults.answer(403, '', { 'www-authenticate': 'Bearer error=insufficient_scope' }), /insufficient_scope/],
  ['refuses without a word', faults.answer(401, '', { 'www-authenticate': 'Bearer' }), /status 401/],
  ['leads elsewhere', faults.redirect('https://evil.example'), /status 301/],
  ['answers with a page', faults.html(), /not a JSON object/],
  ['answers with a list', faults.answer(200, []), /not a JSON object/],
  ['names nobody', faults.answer(200, { email: 'evil@example.com' }), /sub.* property must be a string/],
  ['answers with too much', faults.answer(200, { sub: 'alice', padding: 'x'.repeat(2_000_000) }), /larger than/],
  ['answers with a JWT', faults.answer(200, 'eyJ.eyJ.x', { 'content-type': 'application/jwt' }), /the answer is a JWT, and not JSON: leave userinfo_signed_response_alg/]
]

for (const [what, fault, says] of failures) {
  test(`where the endpoint ${what} the login goes on with what the id_token says, and a warning tells of it`, async (t) => {
    const { browser, server, log } = await start(t, { requestTimeout: 1, server: { dpop: false, idTokenClaims: { name: 'Alice' } } })
    server.fault(fault, Infinity, 'userinfo')
    const answer = await logIn(browser)
    t.equal(answer.status, 303)
    t.match(await claimsOf(browser), { sub: 'alice', name: 'Alice' })
    t.notOk(Object.hasOwn(Object(await claimsOf(browser)), 'email'))
    t.equal(server.requestsTo('userinfo').length, 1)
    const warnings = log.filter((line) => line.includes('"level":40') && line.includes('UserInfo'))
    t.equal(warnings.length, 1)
    t.match(warnings[0], says)
    for (const token of server.tokens) t.notOk(log.some((line) => line.includes(token)), 'R14')
  })
}

test('where the endpoint tells of somebody else nobody is logged in, and what was issued is revoked', async (t) => {
  const { browser, server, log } = await start(t)
  await logIn(browser)
  const earlier = browser.cookies.get('tokens')
  server.settings.userinfoClaims = { sub: 'mallory', email: 'mallory@example.com' }
  server.forgetRequests()
  const answer = await logIn(browser)
  t.equal(answer.status, 400)
  t.match(answer.json, { code: 'FST_TOKEN_LOGIN_FAILED', message: /the UserInfo endpoint has told of somebody else than the id_token/ })
  t.equal(browser.cookies.get('tokens'), earlier, 'the session before it is as it was')
  t.match(await claimsOf(browser), { sub: 'alice' })
  t.strictSame(server.families.map(({ alive }) => alive), [true, false])
  t.equal(server.requestsTo('revocation').length, 2)
  t.notOk(log.some((line) => line.includes('mallory')), 'R14')
})

test('a callback that comes ten times at once asks once', async (t) => {
  const { browser, server } = await start(t)
  const path = await authorize(await startLogin(browser))
  const answers = await Promise.all(Array.from({ length: 10 }, () => browser.clone().get(path)))
  t.strictSame(answers.map(({ status }) => status), Array(10).fill(303))
  t.equal(server.requestsTo('userinfo').length, 1)
  t.equal(new Set(answers.map(({ setCookies }) => setCookies.find((cookie) => cookie.startsWith('tokens=')))).size, 1)
})

test('a login that asks for no id_token asks for nothing else: nobody could tell whose it is', async (t) => {
  const { browser, server } = await start(t, { routes: (app) => { app.get('/plain', async (_request, reply) => await reply.startLogin({ scope: ['orders'] })) } })
  t.equal((await logIn(browser, '/plain')).status, 303)
  t.strictSame(await claimsOf(browser), {})
  t.equal(server.requestsTo('userinfo').length, 0)
})

test('the hook tokenResponse is for token responses', async (t) => {
  const seen: unknown[] = []
  const { browser } = await start(t, { tokenResponse: ({ grant, status }) => { seen.push([grant, status]); return undefined } })
  await logIn(browser)
  t.ok(seen.length > 0)
  t.ok(seen.every((each) => String(each).startsWith('authorization_code')))
})

test('at a real provider, whose id_token says nothing but who it is, the address is there', async (t) => {
  for (const dpop of [false, true]) {
    const provider = await startRealProvider(t, { callbackUri, registration: { token_endpoint_auth_method: 'client_secret_basic' }, features: { dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 'n'), requireNonce: () => true } } })
    const server = await startAuthorizationServer()
    t.teardown(() => server.close())
    const { origin } = await startApp(t, server, {
      issuer: provider.issuer,
      clientId: provider.client.id,
      clientSecret: provider.client.secret,
      dpop,
      login: { callbackUri, scope: ['openid', 'offline_access', 'email'], userInfo: true },
      routes: (app) => {
        app.get('/who', { config }, async (request) => ({ claims: await request.tokens.claims() }))
        app.get('/set', { config }, async (request) => await request.tokens.get())
      }
    })
    const browser = new Browser(origin)
    t.equal((await browser.get(await provider.authorize(await startLogin(browser)))).status, 303)
    t.match(await claimsOf(browser), { sub: 'alice', email: 'alice@example.com' })
    const { idToken = '' } = (await browser.get('/set')).json as unknown as TokenSet
    t.notMatch(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString(), 'example.com')
  }
})

test('where it cannot be asked the boot fails', async (t) => {
  const refused = (options: LoginAppOptions, message: RegExp) => t.rejects(start(t, options), { message }, String(message))
  await refused({ server: { metadata: { userinfo_endpoint: undefined } } }, /login\.userInfo: the metadata of the provider has no userinfo_endpoint/)
  await refused({ login: { scope: ['orders'] } }, /login\.userInfo needs openid in login\.scope/)
  await refused({ server: { metadata: { userinfo_endpoint: 'http://idp.example.com/me' } } }, /userinfo_endpoint is not an https URL/)
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const metadata = { issuer: server.issuer, token_endpoint: `${server.issuer}/token`, authorization_endpoint: `${server.issuer}/authorize` }
  await t.rejects(startApp(t, server, { issuer: undefined, metadata, session: { key: sessionKey }, login: { callbackUri, scope: ['openid'], userInfo: true } }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /no userinfo_endpoint/ })
})
