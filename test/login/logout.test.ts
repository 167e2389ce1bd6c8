import { test, type Test } from 'tap'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { type Answer, Browser } from '../support/browser.ts'
import { goOn, logIn, startLoginApp, type LoginApp, type LoginAppOptions } from '../support/login-flow.ts'
import { startApp } from '../support/start-app.ts'

const formType = 'application/x-www-form-urlencoded'

/** Somebody is logged in, and nothing else has happened yet. */
async function loggedIn (t: Test, options: LoginAppOptions = {}): Promise<LoginApp & { token: string }> {
  const started = await startLoginApp(t, options)
  await logIn(started.browser)
  const { json } = await started.browser.get('/token')
  started.server.forgetRequests()
  return { ...started, token: String(json.token) }
}

/** Where the provider is to end its session: the browser goes on by itself, and leaves nothing behind. */
async function redirectOf (browser: Browser, answer: Answer): Promise<{ to: string, query: Record<string, string>, href: string }> {
  const { status, headers } = await goOn(browser, answer)
  if (status !== 303 || browser.cookies.size > 0) throw new Error(`The logout does not go on: ${status}`)
  const url = new URL(headers.get('location') ?? '')
  return { href: url.href, to: url.origin + url.pathname, query: Object.fromEntries(url.searchParams) }
}

/** The session is over here: no cookie, and the old one opens nothing. */
async function isOver (t: Test, browser: Browser, old: Browser): Promise<void> {
  t.equal(browser.cookies.has('tokens'), false)
  for (const each of [browser, old]) {
    const answer = await each.get('/token')
    t.equal(answer.status, 401)
    t.match(answer.json, { code: 'FST_TOKEN_UNAUTHENTICATED' })
  }
}

test('R22 a logout revokes the refresh token, then the access token, clears the cookie, and sends the browser to the provider', async (t) => {
  const ended: unknown[] = []
  const { server, browser, token } = await loggedIn(t, {
    logout: { postLogoutRedirectUri: 'http://127.0.0.1:3000/bye' },
    onSessionEnded: (event) => { ended.push(event) }
  })
  const old = browser.clone()
  const { newestRefreshToken } = server.familyOf(token) ?? {}
  const answer = await browser.post('/auth/logout')

  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.notMatch(answer.text, /eyJ/, 'no token in the body')
  const { to, query, href } = await redirectOf(browser, answer)
  t.equal(to, `${server.issuer}/logout`)
  t.match(query, { client_id: 'web', id_token_hint: /^ey.+\..+\./, post_logout_redirect_uri: 'http://127.0.0.1:3000/bye' })
  const atProvider = await fetch(href, { redirect: 'manual' })
  t.equal(atProvider.headers.get('location'), 'http://127.0.0.1:3000/bye', 'the provider takes it')

  const revocations = server.requestsTo('revocation')
  t.match(revocations, [
    { status: 200, clientAuthentication: 'client_secret_basic', params: { token: newestRefreshToken, token_type_hint: 'refresh_token' } },
    { status: 200, clientAuthentication: 'client_secret_basic', params: { token, token_type_hint: 'access_token' } }
  ])
  t.equal(revocations.length, 2)
  t.equal(server.isAlive(token), false)
  t.match(answer.setCookies.find((cookie) => cookie.startsWith('tokens=')), /^tokens=; Max-Age=0; Path=\/; HttpOnly; SameSite=Lax$/)
  await isOver(t, browser, old)
  t.match(ended, [{ provider: 'default', reason: 'logout' }])
  t.equal(server.tokenRequests, 0)
})

test('R53 over https the cookie is deleted with the attributes of its __Host- name', async (t) => {
  const uri = 'https://app.example.com/auth/callback'
  const { browser } = await loggedIn(t, { login: { callbackUri: uri }, server: { redirectUris: [uri] } })
  const { setCookies } = await browser.post('/auth/logout')
  t.match(setCookies.find((cookie) => cookie.startsWith('__Host-tokens=')), /^__Host-tokens=; Max-Age=0; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  t.match(setCookies.find((cookie) => cookie.startsWith('__Host-logout')), /^__Host-logout=[\w.-]+; Max-Age=60; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
})

test('an end_session_endpoint with a query of its own keeps it', async (t) => {
  const { browser } = await loggedIn(t, { server: { metadata: { end_session_endpoint: 'https://idp.example.com/logout?tenant=a%26b' } } })
  const { to, query } = await redirectOf(browser, await browser.post('/auth/logout'))
  t.equal(to, 'https://idp.example.com/logout')
  t.match(query, { tenant: 'a&b', client_id: 'web' })
})

test('without an end_session_endpoint the browser ends up on the local page', async (t) => {
  const metadata = { end_session_endpoint: undefined }
  for (const [logout, location] of [[undefined, '/'], [{ postLogoutRedirectUri: 'http://127.0.0.1:3000/bye' }, 'http://127.0.0.1:3000/bye']] as const) {
    const { browser, token, server } = await loggedIn(t, { server: { metadata }, ...logout && { logout } })
    const answer = await browser.post('/auth/logout')
    t.equal(answer.headers.get('refresh'), `0; url=${location}`)
    t.equal(server.isAlive(token), false)
    t.equal(browser.cookies.has('tokens'), false)
  }
})

test('R24 without a revocation endpoint the session is cleared all the same', async (t) => {
  const { server, browser } = await loggedIn(t, { server: { metadata: { revocation_endpoint: undefined } } })
  const old = browser.clone()
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.equal(server.revocations, 0)
  await isOver(t, browser, old)
})

const failures: Array<[what: string, fault: Fault]> = [
  ['that is down', faults.empty(503)],
  ['that hangs', faults.silence()],
  ['that hangs after its headers', faults.all(faults.answer(200, 'done'), faults.headersThenSilence())],
  ['that resets the connection', faults.resetBefore()],
  ['that does not know the type', faults.oauthError('unsupported_token_type')],
  ['that refuses the client', faults.oauthError('invalid_client', 401, { 'www-authenticate': 'Basic' })],
  ['that redirects', faults.redirect('https://mallory.example')]
]

for (const [what, fault] of failures) {
  test(`R24 with a revocation endpoint ${what} the session is cleared all the same, and a warning tells of it`, async (t) => {
    const { server, browser, token, log } = await loggedIn(t, { requestTimeout: 1 })
    const old = browser.clone()
    const { newestRefreshToken = '' } = server.familyOf(token) ?? {}
    server.fault(fault, Infinity, 'revocation')
    const answer = await browser.post('/auth/logout')
    t.equal(answer.status, 200)
    t.equal(server.revocations, 1)
    await isOver(t, browser, old)
    const warnings = log.filter((line) => line.includes('"level":40') && line.includes('could not be revoked'))
    t.equal(warnings.length, 1)
    t.notOk(log.some((line) => line.includes(newestRefreshToken)), 'R14')
  })
}

test('R24 a service that revokes no access tokens is no failure', async (t) => {
  const { server, browser, token, log } = await loggedIn(t)
  for (const fault of [{}, faults.oauthError('unsupported_token_type')]) server.fault(fault, 1, 'revocation')
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.equal(server.isAlive(token), false)
  t.equal(server.revocations, 2)
  t.notOk(log.some((line) => line.includes('could not be revoked')))
})

test('R23 a token that the provider does not know any more is no failure', async (t) => {
  const { server, browser, token, log } = await loggedIn(t)
  server.end(token)
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.equal(browser.cookies.has('tokens'), false)
  t.notOk(log.some((line) => line.includes('could not be revoked')))
})

test('a session without a refresh token has its access token revoked, and without an id_token no hint', async (t) => {
  const { app, browser, server } = await startLoginApp(t)
  const issued = await server.issue({ scope: 'orders' })
  const { access_token: accessToken } = issued
  const saved = await app.inject({ method: 'POST', url: '/save', payload: { ...issued, refresh_token: undefined } })
  for (const { name, value } of saved.cookies) browser.cookies.set(name, value)
  const { query } = await redirectOf(browser, await browser.post('/auth/logout'))
  t.strictSame(query, { client_id: 'web' })
  t.match(server.requestsTo('revocation')[0]?.params, { token: accessToken, token_type_hint: 'access_token' })
  t.equal(server.whoHas(accessToken), null)
})

test('a logout where nobody is logged in goes the same way', async (t) => {
  const ended: unknown[] = []
  const { server, browser } = await startLoginApp(t, { onSessionEnded: (event) => { ended.push(event) } })
  for (const cookie of [undefined, 'broken']) {
    if (cookie !== undefined) browser.cookies.set('tokens', cookie)
    const answer = await browser.post('/auth/logout')
    t.equal(answer.status, 200)
    t.strictSame((await redirectOf(browser, answer)).query, { client_id: 'web' })
    t.equal(browser.cookies.has('tokens'), false)
  }
  t.equal(server.revocations, 0)
  t.strictSame(ended, [])
})

test('a logout with an expired access token asks for no new one', async (t) => {
  const { server, browser, clock, token } = await loggedIn(t, { server: { expiresIn: 60 } })
  clock.now += 3600
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.equal(server.tokenRequests, 0)
  t.equal(server.revocations, 1)
  t.equal(server.isAlive(token), false)
  t.equal(browser.cookies.has('tokens'), false)
})

test('a logout with a cookie whose refresh token is spent revokes the newest one', async (t) => {
  const { server, browser, clock, token } = await loggedIn(t, { server: { expiresIn: 60 } })
  const late = browser.clone()
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  t.equal((await late.post('/auth/logout')).status, 200)
  t.equal(server.requestsTo('revocation')[0]?.params.token, server.familyOf(token)?.newestRefreshToken)
  t.equal((await browser.get('/token')).status, 401, 'whatever cookie comes')
})

test('R44 a logout that does not come from a page of the app is refused, and nothing is ended', async (t) => {
  const { server, browser, origin, token, errors } = await loggedIn(t)
  const own = new URL(origin)
  const foreign: Array<Record<string, string>> = [
    {},
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': '' },
    { 'sec-fetch-site': 'cross-site', origin },
    { 'sec-fetch-site': 'same-site', origin },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: '' },
    { origin: `https://${own.host}` },
    { origin: `${origin}.evil.example` },
    { origin: `http://127.0.0.1:${Number(own.port) + 1}` },
    { origin: `${origin}/` },
    { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
    { origin: 'https://evil.example', referer: `${origin}/` }
  ]
  for (const headers of foreign) {
    const answer = await browser.send('POST', '/auth/logout', headers)
    t.equal(answer.status, 403, encodeURIComponent(JSON.stringify(headers)))
    t.match(answer.json, { code: 'FST_TOKEN_CROSS_SITE' })
    t.strictSame(answer.setCookies, [])
  }
  t.equal(errors.length, foreign.length)
  t.equal(server.revocations, 0)
  t.equal((await browser.get('/token')).json.token, token)
})

test('an older browser that only says Origin logs out from the own one', async (t) => {
  const { browser, origin } = await loggedIn(t)
  t.equal((await browser.send('POST', '/auth/logout', { origin })).status, 200)
  t.equal(browser.cookies.has('tokens'), false)
})

test('behind a proxy the own origin is what the proxy says, and only where the app trusts it', async (t) => {
  const headers = { origin: 'https://app.example.com', 'x-forwarded-host': 'app.example.com', 'x-forwarded-proto': 'https' }
  const trusting = await loggedIn(t, { fastify: { trustProxy: true } })
  t.equal((await trusting.browser.send('POST', '/auth/logout', { origin: trusting.origin, 'x-forwarded-host': 'app.example.com', 'x-forwarded-proto': 'https' })).status, 403)
  t.equal((await trusting.browser.send('POST', '/auth/logout', { ...headers, origin: 'https://evil.example' })).status, 403)
  t.equal((await trusting.browser.send('POST', '/auth/logout', { ...headers, 'x-forwarded-proto': 'http' })).status, 403)
  t.equal((await trusting.browser.send('POST', '/auth/logout', headers)).status, 200)

  const distrusting = await loggedIn(t, { fastify: { trustProxy: false } })
  t.equal((await distrusting.browser.send('POST', '/auth/logout', headers)).status, 403)
})

test('a link or an image cannot log anybody out: GET on the path is a 404', async (t) => {
  const { browser, token } = await loggedIn(t)
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    t.equal((await browser.send(method, '/auth/logout', { 'sec-fetch-site': 'same-origin' })).status, 404, method)
  }
  t.equal((await browser.get('/token')).json.token, token)
})

const bodies: Array<[what: string, headers: Record<string, string>, body: string | undefined]> = [
  ['nothing', {}, undefined],
  ['a form', { 'content-type': formType }, 'csrf=1'],
  ['an empty form', { 'content-type': formType }, ''],
  ['JSON', { 'content-type': 'application/json' }, '{"a":1}'],
  ['an empty body that claims to be JSON', { 'content-type': 'application/json' }, ''],
  ['broken JSON', { 'content-type': 'application/json' }, '{'],
  ['a form with files', { 'content-type': 'multipart/form-data; boundary=x' }, '--x--'],
  ['text', { 'content-type': 'text/plain' }, 'x'.repeat(100_000)]
]

test('whatever a logout has in its body says nothing, and breaks nothing', async (t) => {
  for (const parsesForms of [false, true]) {
    const { app, server, login } = await startLoginApp(t, {
      before: (app) => {
        if (parsesForms) app.addContentTypeParser(formType, { parseAs: 'string' }, (_request, body, done) => { done(null, Object.fromEntries(new URLSearchParams(String(body)))) })
      },
      routes: (app) => app.post('/echo', async (request) => request.body)
    })
    for (const [what, headers, body] of bodies) {
      const browser = await login()
      const answer = await browser.send('POST', '/auth/logout', { 'sec-fetch-site': 'same-origin', ...headers }, body)
      t.equal(answer.status, 200, `${what}${parsesForms ? ', in an app that parses forms' : ''}`)
      t.equal(browser.cookies.has('tokens'), false)
    }
    t.equal(server.revocations, 2 * bodies.length)
    const echoed = await app.inject({ method: 'POST', url: '/echo', headers: { 'content-type': formType }, payload: 'a=b' })
    t.equal(echoed.statusCode, parsesForms ? 200 : 415, 'the app parses what it did before')
  }
})

test('a logout without a login option is there when it is asked for, and only then', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  for (const [logout, status] of [[{}, 200], [undefined, 404]] as const) {
    const { login } = await startApp(t, server, logout && { logout })
    t.equal((await (await login()).post('/auth/logout')).status, status)
  }
})

test('F39 a page that asks for JSON gets a local address, good once, and no token in the body', async (t) => {
  const { server, browser, clock } = await loggedIn(t, { logout: { postLogoutRedirectUri: 'http://127.0.0.1:3000/bye' } })
  const answer = await browser.post('/auth/logout', { accept: 'application/json, text/plain;q=0.5' })
  t.equal(answer.status, 200)
  t.strictSame(Object.keys(answer.json), ['redirectTo'])
  const path = String(answer.json.redirectTo)
  t.match(path, /^\/auth\/logout\/[\w-]{22}$/)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.equal(answer.headers.get('refresh'), null)

  const [stranger, late] = [new Browser(browser.origin), browser.clone()]
  const local = await stranger.get(path)
  t.match([local.status, local.headers.get('location')], [303, 'http://127.0.0.1:3000/bye'], 'of no use in another browser')
  const onward = await browser.get(path)
  t.equal(onward.status, 303)
  t.equal(onward.headers.get('referrer-policy'), 'no-referrer')
  const url = new URL(onward.headers.get('location') ?? '')
  t.equal(url.origin + url.pathname, `${server.issuer}/logout`)
  t.strictSame([...url.searchParams.keys()], ['client_id', 'post_logout_redirect_uri', 'id_token_hint'])
  t.equal(browser.cookies.size, 0)
  t.equal((await browser.get(path)).headers.get('location'), 'http://127.0.0.1:3000/bye', 'the second time it leads home')
  clock.now += 60
  t.equal((await late.get(path)).headers.get('location'), 'http://127.0.0.1:3000/bye', 'and after a minute')
})

test('the id_token is left out as a hint where it makes an address of more than 2 KB', async (t) => {
  for (const [bytes, hasHint] of [[700, true], [1400, false]] as const) {
    const { browser } = await loggedIn(t, { server: { idTokenClaims: { padding: 'x'.repeat(bytes) } } })
    const { query } = await redirectOf(browser, await browser.post('/auth/logout'))
    t.equal('id_token_hint' in query, hasHint, `${bytes} bytes`)
    t.equal(query.client_id, 'web')
  }
})

test('F41 50 replays of a logout with one old cookie are one logout', async (t) => {
  const ended: unknown[] = []
  const { server, browser } = await loggedIn(t, { onSessionEnded: (event) => { ended.push(event) } })
  const copies = Array.from({ length: 50 }, () => browser.clone())
  const answers = await Promise.all(copies.slice(0, 25).map((copy) => copy.post('/auth/logout')))
  for (const copy of copies.slice(25)) answers.push(await copy.post('/auth/logout'))
  t.ok(answers.every(({ status }) => status === 200))
  t.ok(copies.every(({ cookies }) => !cookies.has('tokens')), 'each browser is rid of it')
  t.strictSame(server.requestsTo('revocation').map(({ params }) => params.token_type_hint), ['refresh_token', 'access_token'])
  t.match(ended, [{ reason: 'logout' }])
  t.equal(ended.length, 1)
})

test('F41 request.tokens.clear() and revoke() end a session once, too', async (t) => {
  const ended: unknown[] = []
  const { server, browser } = await loggedIn(t, {
    onSessionEnded: (event) => { ended.push(event) },
    routes: (app) => {
      app.post('/clear', async (request) => { await request.tokens.clear(); return {} })
      app.post('/revoke', async (request) => { await request.tokens.revoke(); return {} })
    }
  })
  for (const path of ['/clear', '/revoke', '/clear', '/revoke']) t.equal((await browser.clone().post(path)).status, 200)
  t.equal(ended.length, 1)
  t.equal(server.revocations, 0)
})

test('F38 a logout leads to an address that is written in any script', async (t) => {
  const { browser } = await loggedIn(t, { logout: { path: '/выход', postLogoutRedirectUri: 'http://127.0.0.1:3000/пока мир' } })
  const answer = await browser.post(encodeURI('/выход'))
  t.equal(answer.status, 200)
  const address = /^0; url=(\S+)$/.exec(answer.headers.get('refresh') ?? '')?.[1] ?? ''
  t.match(address, /^\/%D0%B2%D1%8B%D1%85%D0%BE%D0%B4\//)
  t.equal((await browser.get(address)).status, 303)
  t.equal((await browser.get(address)).headers.get('location'), encodeURI('http://127.0.0.1:3000/пока мир'), 'for the second time')
})

test('F26 with logout: false there is none', async (t) => {
  const { browser } = await loggedIn(t, { logout: false })
  t.equal((await browser.post('/auth/logout')).status, 404)
  t.equal((await browser.get('/token')).status, 200)
})

test('a logout in a test of the app: inject, from the own origin', async (t) => {
  const { app, browser } = await loggedIn(t)
  const answer = await app.inject({
    method: 'POST',
    url: '/auth/logout',
    headers: { 'sec-fetch-site': 'same-origin', accept: 'application/json', cookie: browser.header }
  })
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), { redirectTo: /^\/auth\/logout\// })
  t.equal(answer.cookies.find(({ name }) => name === 'tokens')?.value, '')
})
