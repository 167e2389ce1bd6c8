import { calculateJwkThumbprint } from 'jose'
import { test } from 'tap'
import type { JsonWebKey, TokenSet, TokenStore } from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, logIn, sealedLogin, startLogin, startLoginApp, type LoginApp } from '../support/login-flow.ts'
import { proofOf } from '../support/proof.ts'
import { assertNoSecrets } from '../support/scenario.ts'
import { sessionKey, startApp } from '../support/start-app.ts'

const dpop = { dpop: true, dpopNonce: null } as const
const pushed = { pushedAuthorizationRequests: true } as const

/** Takes the key of the next login. */
function keyTaker () {
  const keys: JsonWebKey[] = []
  return { keys, onLogin: (_request: unknown, _reply: unknown, { dpopKey }: TokenSet) => { if (dpopKey) keys.push(dpopKey) } }
}

test('R33 a login binds the code to the key of the session that it brings: dpop_jkt, the proof at the redemption, and every refresh', async (t) => {
  const { keys, onLogin } = keyTaker()
  const { server, browser, clock, log } = await startLoginApp(t, { server: { ...dpop, bindRefreshTokens: true }, login: { onLogin } })
  server.settings.clock = () => clock.now
  const url = await startLogin(browser)
  const sealed = sealedLogin(browser)
  t.ok(sealed.length < 1000)
  t.notMatch(sealed + Buffer.from(sealed, 'base64url').toString('latin1'), /"d"|kty/, 'the key is sealed')
  t.equal((await browser.get(await authorize(url))).status, 303)
  t.strictSame([...browser.cookies.keys()], ['tokens'], 'and its cookie is gone with the login')

  const jkt = await calculateJwkThumbprint({ ...keys[0] })
  clock.now += 301
  t.equal((await browser.get('/token')).status, 200)
  t.equal(url.searchParams.get('dpop_jkt'), jkt)
  t.strictSame(server.requestsTo('token').map(({ grant, proof }) => [grant, proof?.jkt]), [['authorization_code', jkt], ['refresh_token', jkt]])
  assertNoSecrets(t, server, log)
  t.notOk(log.join().includes(String(keys[0]?.d)), 'nor the key')

  await logIn(browser)
  t.not(await calculateJwkThumbprint({ ...keys[1] }), jkt, 'another login, another key')
})

test('a login that was started before DPoP was asked for is refused, and its code is not redeemed', async (t) => {
  const { server, browser: before } = await startLoginApp(t)
  const { origin } = await startApp(t, server, { login: { callbackUri, scope: ['openid'] }, dpop: true })
  const browser = new Browser(origin)
  const url = await startLogin(before)
  for (const [name, value] of before.cookies) browser.cookies.set(name, value)
  t.match(await browser.get(await authorize(url)), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: /without a DPoP key/ } })
  t.equal(server.tokenRequests, 0)
})

test('R35 a nonce that is wanted at the redemption costs one more request, and the code is spent once', async (t) => {
  const { server, browser } = await startLoginApp(t, { server: { ...dpop, dpopNonce: 'newest' } })
  t.equal((await logIn(browser)).status, 303)
  t.strictSame(server.requestsTo('token').map(({ error }) => error), ['use_dpop_nonce', undefined])
  t.equal((await browser.get('/token')).status, 200)
})

test('R34 a login that is answered with a Bearer token is refused', async (t) => {
  const { server, browser } = await startLoginApp(t, { server: dpop })
  server.fault(faults.members({ token_type: 'Bearer' }))
  t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: /the token_type is not the DPoP that was asked for/ } })
  t.equal((await browser.get('/token')).status, 401)
})

test('the tokens that the app takes itself come with their key', async (t) => {
  const taken: TokenSet[] = []
  const { browser } = await startLoginApp(t, { server: dpop, login: { saveTokens: false, onTokens: (_request, _reply, tokens) => { taken.push(tokens) } } })
  await logIn(browser)
  t.match(taken, [{ accessTokens: [{ tokenType: 'DPoP' }], dpopKey: { crv: 'P-256', alg: 'ES256', d: String } }])
})

test('beside a store of the app, session.key must seal what a browser holds of a login', async (t) => {
  const store: TokenStore = { get: () => null, set: () => {}, clear: () => {} }
  const server = await startAuthorizationServer(dpop)
  t.teardown(() => server.close())
  const login = { callbackUri, scope: ['openid'] }
  const start = async (session: { key?: string }) => await startApp(t, server, {
    login,
    session,
    before: (app) => app.decorate('tokenStore', store)
  })
  await t.rejects(start({}), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /session\.key is required with login, to seal what a browser holds of a login that is under way: 32 random bytes/ })
  const { origin } = await start({ key: sessionKey })
  t.equal((await logIn(new Browser(origin))).status, 303)
})

test('RFC 9126 a pushed request travels from server to server, and the browser takes along client_id and request_uri only', async (t) => {
  const { server, browser } = await startLoginApp(t, { login: pushed, server: { requirePushedRequests: true } })
  const url = await startLogin(browser)
  t.strictSame([...url.searchParams.keys()], ['client_id', 'request_uri'])
  const [push] = server.requestsTo('pushedAuthorization')
  t.match(push, { method: 'POST', status: 201, clientAuthentication: 'client_secret_basic' })
  t.strictSame(Object.keys(push?.params ?? {}).sort(), ['client_id', 'code_challenge', 'code_challenge_method', 'nonce', 'redirect_uri', 'response_type', 'scope', 'state'])
  t.equal((await browser.get(await authorize(url))).status, 303)
  t.equal((await browser.get('/token')).status, 200)
})

test('RFC 9126 §5 where the metadata requires it, requests are pushed without being told to', async (t) => {
  const { server, browser } = await startLoginApp(t, { server: { requirePushedRequests: true } })
  t.equal((await logIn(browser)).status, 303)
  t.equal(server.requestsTo('pushedAuthorization').length, 1)

  const plain = await startLoginApp(t)
  t.equal((await logIn(plain.browser)).status, 303)
  t.equal(plain.server.requestsTo('pushedAuthorization').length, 0, 'and else only where the app says so')
})

test('the query that the authorization endpoint has of its own stays there, and is not pushed', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  server.settings.metadata = { authorization_endpoint: `${server.issuer}/authorize?policy=a%20b` }
  const { origin } = await startApp(t, server, { login: { callbackUri, scope: ['openid'], ...pushed } })
  const url = await startLogin(new Browser(origin))
  t.strictSame([...url.searchParams.keys()], ['policy', 'client_id', 'request_uri'])
  t.equal(url.searchParams.get('policy'), 'a b')
  t.notOk('policy' in (server.requestsTo('pushedAuthorization')[0]?.params ?? {}))
})

test('RFC 9449 §10.1 a pushed request proves the possession of the key, and the nonce that it brings serves the redemption', async (t) => {
  const { server, browser } = await startLoginApp(t, { login: pushed, server: { ...dpop, dpopNonce: 'newest' } })
  t.equal((await logIn(browser)).status, 303)
  const pushes = server.requestsTo('pushedAuthorization')
  t.strictSame(pushes.map(({ error }) => error), ['use_dpop_nonce', undefined])
  const { proof, params } = pushes[1] ?? {}
  t.equal(params?.dpop_jkt, proof?.jkt)
  t.strictSame(server.requestsTo('token').map((record) => [record.status, record.proof?.jkt]), [[200, proof?.jkt]], 'R36')
  t.equal(new Set([...pushes, ...server.requestsTo('token')].map((record) => proofOf(record).claims.jti)).size, 3)
})

test('a request that cannot be pushed is an error with a code, and never goes the other way', async (t) => {
  const cases: Array<[fault: Parameters<LoginApp['server']['fault']>[0], status: number, code: string]> = [
    [faults.oauthError('invalid_request'), 502, 'FST_TOKEN_SERVICE_REFUSED'],
    [faults.oauthError('invalid_client', 401), 502, 'FST_TOKEN_SERVICE_REFUSED'],
    [faults.oauthError('invalid_grant'), 502, 'FST_TOKEN_SERVICE_REFUSED'],
    [faults.oauthError('use_dpop_nonce'), 502, 'FST_TOKEN_SERVICE_REFUSED'],
    [faults.empty(400), 502, 'FST_TOKEN_SERVICE_REFUSED'],
    [faults.empty(404), 502, 'FST_TOKEN_SERVICE_REFUSED'],
    [faults.html(201), 502, 'FST_TOKEN_SERVICE_BAD_RESPONSE'],
    [faults.answer(201, { expires_in: 60 }), 502, 'FST_TOKEN_SERVICE_BAD_RESPONSE'],
    [faults.redirect('https://elsewhere.example'), 502, 'FST_TOKEN_SERVICE_BAD_RESPONSE'],
    [faults.empty(503), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE'],
    [faults.resetBefore(), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE']
  ]
  for (const [fault, status, code] of cases) {
    const { server, browser, log } = await startLoginApp(t, { login: pushed, server: dpop })
    server.fault(fault, Infinity, 'pushedAuthorization')
    const answer = await browser.get('/auth/login')
    t.match(answer, { status, json: { code } })
    t.equal(answer.headers.get('location'), null)
    t.ok(server.requestsTo('pushedAuthorization').length <= 2)
    assertNoSecrets(t, server, [...log, answer.text])
  }
})

test('a provider that cannot be pushed to fails the boot', async (t) => {
  const metadata = { pushed_authorization_request_endpoint: undefined }
  for (const [server, login] of [[{ metadata }, pushed], [{ metadata, requirePushedRequests: true }, {}]] as const) {
    await t.rejects(startLoginApp(t, { login, server }), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: /no pushed_authorization_request_endpoint/ })
  }
})
