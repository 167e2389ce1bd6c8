import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { FastifyReply } from 'fastify'
import { test } from 'tap'
import { localPath } from '../../lib/login/local-path.ts'
import type { TokenSet } from '../../lib/index.ts'
import { send } from '../../lib/testing/provider/answer.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, logIn, sealedLogin, startLogin, startLoginApp, transactionsOf } from '../support/login-flow.ts'

const sha256 = (text: string | undefined) => createHash('sha256').update(text ?? '').digest('base64url')

test('R41 the login sends the browser to the provider with state, an S256 challenge and a nonce', async (t) => {
  const { server, browser } = await startLoginApp(t)
  const url = await startLogin(browser)
  t.equal(url.origin + url.pathname, `${server.issuer}/authorize`)
  const query = Object.fromEntries(url.searchParams)
  t.strictSame(Object.keys(query).sort(), ['client_id', 'code_challenge', 'code_challenge_method', 'nonce', 'redirect_uri', 'response_type', 'scope', 'state'])
  t.match(query, {
    client_id: 'web',
    code_challenge: /^[\w-]{43}$/,
    code_challenge_method: 'S256',
    nonce: /^[\w-]{43}$/,
    redirect_uri: callbackUri,
    response_type: 'code',
    scope: 'openid offline_access orders',
    state: /^[\w-]{22}$/
  })
  t.not(query.nonce, query.state)
  t.equal((await browser.get(await authorize(url))).status, 303)
  t.equal(sha256(server.requestsTo('token')[0]?.params.code_verifier), query.code_challenge)

  const again = await startLogin(new Browser(browser.origin))
  for (const name of ['state', 'nonce', 'code_challenge']) t.not(again.searchParams.get(name), query[name], `another ${name} each time`)
})

test('no nonce goes to the provider where no id_token is asked for, and none is needed', async (t) => {
  const { browser, errors } = await startLoginApp(t, { login: { scope: ['orders'] } })
  const url = await startLogin(browser)
  t.equal(url.searchParams.has('nonce'), false)
  t.equal(url.searchParams.get('scope'), 'orders')
  t.equal((await browser.get(await authorize(url))).status, 303)
  t.equal((await browser.get('/token')).status, 200)
  t.strictSame(errors, [])
})

test('who logs in is logged in, and ends up where they wanted to go', async (t) => {
  const { server, browser } = await startLoginApp(t, { server: { user: 'bob' } })
  t.equal((await browser.get('/token')).status, 401)
  const answer = await logIn(browser, '/auth/login?returnTo=/orders?page=2%23first')
  t.equal(answer.status, 303)
  t.equal(answer.headers.get('location'), '/orders?page=2#first')
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.strictSame([...browser.cookies.keys()], ['tokens'])
  const { json } = await browser.get('/token')
  t.match(server.whoHas(String(json.token)), { sub: 'bob', scope: 'openid offline_access orders' })
  t.equal(server.codeExchanges, 1)
  t.equal(server.refreshes, 0)
  t.match(server.requestsTo('token')[0], { clientAuthentication: 'client_secret_basic', params: { redirect_uri: callbackUri } })
})

for (const [kind, uri, prefix, secure] of [
  ['https', 'https://app.example.com/auth/callback', '__Host-', true],
  ['plain http on loopback', callbackUri, '', false]
] as const) {
  test(`R42 the cookies of a login over ${kind} are HttpOnly, Lax, ${secure ? 'Secure with __Host-' : 'without __Host-'}, and single use`, async (t) => {
    const { browser } = await startLoginApp(t, { login: { callbackUri: uri }, server: { redirectUris: [uri] } })
    const started = await browser.get('/auth/login')
    t.equal(started.headers.get('cache-control'), 'no-store')
    const [name, ...others] = transactionsOf(browser)
    t.match(name, new RegExp(`^${prefix}login-[\\w-]{8}$`))
    t.strictSame(others, [], 'one cookie')
    t.ok(String(name).length + sealedLogin(browser).length < 1024)
    const attributes = `; Path=/; HttpOnly${secure ? '; Secure' : ''}; SameSite=Lax`
    t.strictSame(started.setCookies, [`${name}=${sealedLogin(browser)}; Max-Age=600${attributes}`])
    const answer = await browser.get(await authorize(new URL(started.headers.get('location') ?? '')))
    t.equal(answer.status, 303)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.equal(answer.setCookies.length, 2)
    t.ok(answer.setCookies.includes(`${name}=; Max-Age=0${attributes}`))
    const session = answer.setCookies.find((cookie) => cookie.startsWith(`${prefix}tokens=`))
    t.match(session, /; Path=\/; HttpOnly(; Secure)?; SameSite=Lax$/)
    t.equal(session?.includes('Secure'), secure)
    t.strictSame([...browser.cookies.keys()], [`${prefix}tokens`])
  })
}

const hostile = [
  '//evil.example', '/\\evil.example', '\\\\evil.example', '/\t/evil.example', '/\n/evil.example', '/\r/evil.example', '\t//evil.example',
  '/.//evil.example', '/..//evil.example', '/x/..//evil.example', '/%2e//evil.example', '/.\\\\evil.example', '///evil.example', '/\\/evil.example', '/\t\\evil.example',
  'https://evil.example', 'https:evil.example', 'HTTPS://evil.example', 'javascript:alert(1)', 'data:text/html,x', 'evil.example', '@evil.example', '.evil.example',
  '/\t/\t/evil.example', ' //evil.example', '\u0000//evil.example', '/\u2028/evil.example\r\n', '/a\r\nSet-Cookie: x=1\r\n\r\n//evil.example', '', '?x', '#x'
]

test('returnTo never leads off the app, whatever is in it', async (t) => {
  const { origin } = await startLoginApp(t)
  for (const returnTo of hostile) {
    for (const [how, query] of [['plain', encodeURIComponent(returnTo)], ['encoded twice', encodeURIComponent(encodeURIComponent(returnTo))]] as const) {
      const browser = new Browser(origin)
      const answer = await logIn(browser, `/auth/login?returnTo=${query}`)
      t.equal(answer.status, 303)
      const location = answer.headers.get('location') ?? ''
      t.equal(new URL(location, 'https://app.example').origin, 'https://app.example', `${how} ${encodeURIComponent(returnTo)}`)
    }
  }
  for (const query of ['', '?returnTo', '?returnTo=', '?returnTo=/a&returnTo=/b', '?returnTo[]=/a', '?other=/a']) {
    t.equal((await logIn(new Browser(origin), `/auth/login${query}`)).headers.get('location'), '/', encodeURIComponent(query))
  }
})

test('a local path is what a browser makes of it', (t) => {
  for (const path of ['/', '/a', '/a/b?c=d&e=%2F%2F#f', '/a//b', '/%2F/evil.example', '/@evil.example', '/http://evil.example']) t.equal(localPath(path), path)
  t.equal(localPath('/a/../b'), '/b')
  t.equal(localPath('/ü'), '/%C3%BC')
  for (const target of [...hostile, undefined, null, 7, ['/a'], { toString: () => '/a' }]) {
    t.equal(new URL(localPath(target), 'https://app.example').host, 'app.example', encodeURIComponent(String(target)))
    t.ok(/^\/[!-~]*$/.test(localPath(target)), 'fit for a header')
  }
  t.end()
})

test('onLogin gets the tokens and the claims, once', async (t) => {
  const calls: Array<{ tokens: TokenSet, claims: Record<string, unknown> | undefined, token: string }> = []
  const { server, browser } = await startLoginApp(t, {
    login: { onLogin: async (request, _reply, tokens, claims) => { calls.push({ tokens, claims, token: await request.accessToken() }) } }
  })
  const answer = await logIn(browser, '/auth/login?returnTo=/home')
  t.equal(answer.headers.get('location'), '/home')
  t.equal(calls.length, 1)
  const [call] = calls
  t.match(call?.claims, { iss: server.issuer, aud: 'web', sub: 'alice', nonce: String })
  t.match(call?.tokens, { generation: 0, sessionId: /^[\da-f-]{36}$/, refreshToken: String, idToken: String, accessTokens: [{ tokenType: 'Bearer' }] })
  t.equal(call?.token, call?.tokens.accessTokens[0]?.accessToken, 'the session is there already')
  t.equal((await browser.get('/token')).json.token, call?.token)
})

test('a refresh that is under way as the callback is answered does not take the login with it', async (t) => {
  const { server, browser } = await startLoginApp(t, { login: { onLogin: (request) => { request.accessToken({ resource: 'https://api.example.com' }).catch(() => {}) } } })
  const callback = await authorize(await startLogin(browser))
  const gate = server.hold()
  const answering = browser.get(callback)
  await gate.arrived()
  gate.release(1) // the code
  const answer = await answering
  t.equal(answer.status, 303)
  t.equal(answer.setCookies.filter((cookie) => cookie.startsWith('tokens=')).length, 1)
  gate.release()
  t.equal((await browser.get('/token')).status, 200)
})

test('onLogin may reply itself, and returns that', async (t) => {
  for (const onLogin of [
    (_request: unknown, reply: FastifyReply) => reply.code(202).send({ welcome: true }),
    async (_request: unknown, reply: FastifyReply) => reply.code(202).send({ welcome: true })
  ]) {
    const { browser } = await startLoginApp(t, { login: { onLogin } })
    const answer = await logIn(browser)
    t.equal(answer.status, 202)
    t.strictSame(answer.json, { welcome: true })
    t.equal((await browser.get('/token')).status, 200)
  }
})

test('with saveTokens: false the tokens go to onTokens, and nothing is stored', async (t) => {
  const got: Array<[TokenSet, Record<string, unknown> | undefined]> = []
  const { server, browser } = await startLoginApp(t, {
    login: { saveTokens: false, onTokens: (_request, _reply, tokens, claims) => { got.push([tokens, claims]) } }
  })
  const answer = await logIn(browser, '/auth/login?returnTo=/home')
  t.equal(answer.headers.get('location'), '/home')
  t.equal(got.length, 1)
  t.equal(server.whoHas(got[0]?.[0].accessTokens[0]?.accessToken ?? '')?.sub, 'alice')
  t.match(got[0]?.[1], { sub: 'alice' })
  t.equal(browser.cookies.size, 0)
  t.equal((await browser.get('/token')).status, 401)
})

test('a second login replaces the first session', async (t) => {
  const sessions: string[] = []
  const { server, browser } = await startLoginApp(t, { login: { onLogin: (_request, _reply, { sessionId }) => { sessions.push(sessionId) } } })
  await logIn(browser)
  server.settings.user = 'bob'
  await logIn(browser)
  const { json } = await browser.get('/token')
  t.equal(server.whoHas(String(json.token))?.sub, 'bob')
  t.equal(new Set(sessions).size, 2)
})

for (const [how, logsOut] of [['a second login', false], ['a logout and a login', true]] as const) {
  test(`an answer to a request from before ${how} does not take the new session away`, async (t) => {
    const { server, browser, clock } = await startLoginApp(t, { server: { expiresIn: 60 } })
    await logIn(browser)
    clock.now += 61
    const arrived = new EventEmitter()
    const released = once(arrived, 'release')
    server.fault({ deliver: (response, answer) => { arrived.emit('held'); released.then(() => send(response, answer)) } })
    const held = once(arrived, 'held')
    const late = browser.get('/token')
    await held
    if (logsOut) await browser.post('/auth/logout')
    server.settings.user = 'bob'
    t.equal((await logIn(browser)).status, 303)
    arrived.emit('release')
    await late
    const { json } = await browser.get('/token')
    t.equal(server.whoHas(String(json.token))?.sub, 'bob')
  })
}

test('HEAD on the login and on the callback does nothing', async (t) => {
  const { server, browser } = await startLoginApp(t)
  t.equal((await browser.send('HEAD', '/auth/login', {})).status, 404)
  const callback = await authorize(await startLogin(browser))
  t.equal((await browser.send('HEAD', callback, {})).status, 404)
  t.equal(server.codeExchanges, 0)
  t.equal((await browser.get(callback)).status, 303, 'the link preview has not spent the code')
})

test('R2 an authorization endpoint with a query of its own keeps it', async (t) => {
  const { browser, server } = await startLoginApp(t)
  const { browser: other } = await startLoginApp(t, { server: { metadata: { authorization_endpoint: `${server.issuer}/authorize?tenant=a%26b` } } })
  const url = await startLogin(other)
  t.equal(url.searchParams.get('tenant'), 'a&b')
  t.equal(url.searchParams.get('client_id'), 'web')
  t.equal((await startLogin(browser)).searchParams.has('tenant'), false)
})

test('R4 a client whose id and secret hold odd characters logs in', async (t) => {
  const clientId = 'a b:c%d&e+f/g?h=i#j"k'
  const { browser, server } = await startLoginApp(t, { server: { clientId, clientSecret: ' %&+£€' } })
  const url = await startLogin(browser)
  t.equal(url.searchParams.get('client_id'), clientId)
  t.equal((await browser.get(await authorize(url))).status, 303)
  const [, basic = ''] = server.requestsTo('token')[0]?.headers.authorization?.split(' ') ?? []
  t.match(Buffer.from(basic, 'base64').toString(), /:\+%25%26%2B%C2%A3%E2%82%AC$/)
})

test('login and logout have the paths that the options give', async (t) => {
  const { browser } = await startLoginApp(t, {
    login: { startRedirectPath: '/in', callbackUri: 'http://localhost:3000/back' },
    logout: { path: '/out' }
  })
  t.equal((await browser.get('/auth/login')).status, 404)
  const callback = await authorize(await startLogin(browser, '/in'))
  t.match(callback, /^\/back\?code=/)
  t.equal((await browser.get(callback)).status, 303)
  t.equal((await browser.post('/out')).status, 200)
  t.equal((await browser.get('/token')).status, 401)
})
