import { test, type Test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import type { Answer } from '../support/browser.ts'
import { authorize, callbackUri, logIn, sealedLogin, startLogin, startLoginApp, withParameter, type LoginApp } from '../support/login-flow.ts'

/** A 4xx with a code and nothing else in it; nobody is logged in by it. */
async function refused (t: Test, { browser, errors }: LoginApp, answer: Answer, message: RegExp): Promise<void> {
  t.equal(answer.status, 400)
  t.strictSame(Object.keys(answer.json).sort(), ['code', 'error', 'message', 'statusCode'])
  t.match(answer.json, { code: 'FST_TOKEN_LOGIN_FAILED', message })
  t.match(answer.json.message, /^The login failed: .*\. Start it again\.$/)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.match(errors.at(-1), { code: 'FST_TOKEN_LOGIN_FAILED' })
  t.equal((await browser.get('/token')).status, 401)
}

/** Neither a response nor the log holds any of these. */
function tellsNothing (t: Test, { log, server }: LoginApp, answer: Answer, secrets: Array<string | undefined>): void {
  const everything = [answer.text, answer.headers.get('location'), ...log].join('\n')
  for (const secret of [...secrets, server.settings.clientSecret, ...server.families.map((family) => family.newestRefreshToken)]) {
    t.ok(secret && secret.length > 7)
    t.notOk(everything.includes(secret ?? ''), 'a secret was told')
  }
  t.notMatch(answer.text, /\n|\.ts:|node_modules/, 'no stack')
}

test('what the provider refuses is a 4xx that names its error', async (t) => {
  const started = await startLoginApp(t, { server: { loginError: 'access_denied', clientSecret: 'very secret' } })
  const { browser, server } = started
  const callback = await authorize(await startLogin(browser))
  const verifier = sealedLogin(browser)
  const answer = await browser.get(callback)
  await refused(t, started, answer, /the provider answered "access_denied"/)
  tellsNothing(t, started, answer, [verifier])
  t.equal(server.tokenRequests, 0)
  t.equal(browser.cookies.size, 0, 'that login is over')
})

test('an error of the provider that is anything but a code cannot make the answer ugly', async (t) => {
  const started = await startLoginApp(t)
  const url = await startLogin(started.browser)
  const query = new URLSearchParams({ error: `<script>\r\n"${'x'.repeat(10_000)}`, state: url.searchParams.get('state') ?? '', iss: started.server.issuer })
  const answer = await started.browser.get(`/auth/callback?${query}`)
  await refused(t, started, answer, /the provider answered/)
  t.ok(answer.text.length < 300)
  t.match(answer.headers.get('content-type'), /^application\/json/)
})

test('a callback that this browser has not asked for is refused without asking the token service', async (t) => {
  const started = await startLoginApp(t)
  const { browser, server } = started
  const callback = await authorize(await startLogin(browser))
  const cookies = [...browser.cookies]
  const state = new URL(callback, callbackUri).searchParams.get('state') ?? ''
  const broken: Array<[what: string, path: string, has: boolean, message: RegExp]> = [
    ['wrong state', withParameter(callback, 'state', 'x'.repeat(22)), true, /this browser has not started it/],
    ['a state of the wrong form', withParameter(callback, 'state', '../../x'), true, /this browser has not started it/],
    ['a state that begins like the right one', withParameter(callback, 'state', `${state.slice(0, 12)}${'x'.repeat(10)}`), true, /this browser has not started it/],
    ['no state', withParameter(callback, 'state', null), true, /this browser has not started it/],
    ['empty state', withParameter(callback, 'state', ''), true, /this browser has not started it/],
    ['state twice', `${callback}&state=other`, true, /state/],
    ['no cookie', callback, false, /this browser has not started it/],
    ['RFC 9207 another issuer', withParameter(callback, 'iss', 'https://mallory.example'), true, /iss/],
    ['RFC 9207 no issuer, though it is promised', withParameter(callback, 'iss', null), true, /iss/],
    ['no code', withParameter(callback, 'code', null), true, /code/],
    ['an empty code', withParameter(callback, 'code', ''), true, /code/],
    ['code twice', `${callback}&code=other`, true, /code/],
    ['nothing at all', '/auth/callback', true, /this browser has not started it/]
  ]
  for (const [what, path, has, message] of broken) {
    await t.test(what, async (t) => {
      browser.cookies.clear()
      for (const [name, value] of cookies) if (has) browser.cookies.set(name, value)
      await refused(t, started, await browser.get(path), message)
    })
  }
  t.equal(server.tokenRequests, 0)
})

test('a callback of somebody else does not end the login that is under way', async (t) => {
  const { browser } = await startLoginApp(t)
  const callback = await authorize(await startLogin(browser))
  t.equal((await browser.get('/auth/callback?code=x&state=planted')).status, 400)
  t.equal((await browser.get(callback)).status, 303)
})

test('an issuer is not asked for where the provider does not promise one, but a wrong one is refused all the same', async (t) => {
  const { browser } = await startLoginApp(t, { server: { metadata: { authorization_response_iss_parameter_supported: undefined } } })
  const callback = await authorize(await startLogin(browser))
  t.equal((await browser.clone().get(withParameter(callback, 'iss', 'https://mallory.example'))).status, 400)
  t.equal((await browser.get(withParameter(callback, 'iss', null))).status, 303)
})

test('a callback that comes again goes to the app where somebody is logged in, and spends nothing anywhere', async (t) => {
  const started = await startLoginApp(t)
  const { browser, server, clock } = started
  const callback = await authorize(await startLogin(browser))
  const thief = browser.clone()
  t.equal((await browser.get(callback)).status, 303)

  const again = await browser.get(callback)
  t.equal(again.status, 303)
  t.equal(again.headers.get('location'), '/')
  t.equal((await browser.get('/token')).status, 200, 'who is logged in stays so')

  clock.now += 31
  await refused(t, { ...started, browser: thief }, await thief.get(callback), /has finished it already/)
  t.equal(server.codeExchanges, 1)
})

const broken: Array<[what: string, fault: Fault, message: RegExp]> = [
  ['a nonce of another login', faults.idToken({ nonce: 'of another login' }), /nonce/],
  ['no nonce', faults.idToken({ nonce: undefined }), /nonce/],
  ['an id_token for another client', faults.idToken({ aud: 'another' }), /aud/],
  ['an id_token for several, of which another is the authorized party', faults.idToken({ aud: ['web', 'another'], azp: 'another' }), /azp/],
  ['an id_token of another issuer', faults.idToken({ iss: 'https://mallory.example' }), /iss/],
  ['an id_token that has expired', faults.idToken({ exp: 1_000_000_000 }), /exp/],
  ['an id_token without a subject', faults.idToken({ sub: undefined }), /sub/],
  ['no id_token', faults.without('id_token'), /id_token/i],
  ['an id_token that is none', faults.members({ id_token: 'e30.e30' }), /JWT|id_token/i],
  ['no access token', faults.without('access_token'), /access_token/],
  ['a token_type that was not asked for', faults.members({ token_type: 'mac' }), /token_type/],
  ['HTML', faults.html(200), /not a JSON object/],
  ['a redirect', faults.redirect('https://mallory.example'), /status 301/],
  ['a 400 without a reason', faults.empty(400), /status 400/],
  ['invalid_grant with a 200', faults.oauthError('invalid_grant', 200), /invalid_grant/]
]

for (const [what, fault, message] of broken) {
  test(`an answer with ${what} logs nobody in`, async (t) => {
    const started = await startLoginApp(t, { server: { clientSecret: 'very secret' } })
    const { browser, server, errors } = started
    server.fault(fault)
    const url = await startLogin(browser)
    const verifier = sealedLogin(browser)
    const answer = await browser.get(await authorize(url))
    await refused(t, started, answer, message)
    t.ok(errors[0]?.cause instanceof Error, 'the cause is kept')
    tellsNothing(t, started, answer, [verifier])
    t.equal(server.codeExchanges, 1)
    t.equal((await logIn(browser)).status, 303, 'the next try logs in')
  })
}

test('a code that has expired logs nobody in', async (t) => {
  const started = await startLoginApp(t)
  const { browser, server, errors } = started
  const callback = await authorize(await startLogin(browser))
  server.settings.clock = () => Date.now() / 1000 + 61
  await refused(t, started, await browser.get(callback), /invalid_grant/)
  t.match(errors[0]?.cause, { status: 400, error: 'invalid_grant' })
})

test('the redirect_uri and the verifier of this login are what the code is bound to', async (t) => {
  const started = await startLoginApp(t)
  const { browser } = started
  const [first, second] = [await startLogin(browser), await startLogin(browser)]
  const code = new URL(await authorize(second), callbackUri).searchParams.get('code')
  await refused(t, started, await browser.get(withParameter(await authorize(first), 'code', code)), /invalid_grant/)

  const other = new URL((await startLogin(browser)).href)
  other.searchParams.set('redirect_uri', `${callbackUri}?x=y`)
  await refused(t, started, await browser.get(await authorize(other)), /invalid_grant/)
})

const troubles: Array<[what: string, fault: Fault, status: number, code: string]> = [
  ['is down', faults.empty(503), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE'],
  ['asks for patience', faults.retryAfter(429, 7), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE'],
  ['resets the connection', faults.resetAfter(), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE'],
  ['does not answer in time', faults.silence(), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE'],
  ['refuses the client', faults.oauthError('invalid_client', 401), 502, 'FST_TOKEN_SERVICE_REFUSED'],
  ['does not know the grant', faults.oauthError('unsupported_grant_type'), 502, 'FST_TOKEN_SERVICE_REFUSED']
]

for (const [what, fault, status, code] of troubles) {
  test(`R17 R18 a token service that ${what} at the callback is a ${status}, and nobody's fault but its own`, async (t) => {
    const started = await startLoginApp(t, { requestTimeout: 1, server: { clientSecret: 'very secret' } })
    const { browser, server, errors } = started
    server.fault(fault, Infinity)
    const url = await startLogin(browser)
    const verifier = sealedLogin(browser)
    const answer = await browser.get(await authorize(url))
    t.equal(answer.status, status)
    t.match(answer.json, { code })
    t.ok(errors[0]?.cause instanceof Error)
    if (status === 503) t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/)
    if (what === 'asks for patience') t.equal(answer.headers.get('retry-after'), '7')
    tellsNothing(t, started, answer, [verifier])
    t.equal(server.codeExchanges, 1, 'a code is never sent twice')
    t.equal((await browser.get('/token')).status, 401)
    server.clearFaults()
    t.equal((await logIn(browser)).status, 303)
  })
}

test('a token service that cannot be reached at the callback is a 503', async (t) => {
  const started = await startLoginApp(t)
  const callback = await authorize(await startLogin(started.browser))
  await started.server.refuseConnections()
  const answer = await started.browser.get(callback)
  t.equal(answer.status, 503)
  t.match(answer.json, { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
})

test('a session that cannot be stored is not a login', async (t) => {
  const { browser } = await startLoginApp(t, { server: { tokenBytes: 4000 } })
  const answer = await logIn(browser)
  t.equal(answer.status, 500)
  t.match(answer.json, { code: 'FST_TOKEN_SESSION_TOO_LARGE', message: /access token 5334, refresh token 5334, id_token \d+/ })
  t.equal((await browser.get('/token')).status, 401)
})
