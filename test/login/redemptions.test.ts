import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import type { TokenSet } from '../../lib/index.ts'
import { Gate } from '../../lib/testing/provider/gate.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { Browser } from '../support/browser.ts'
import { authorize, logIn, sealedLogin, startLogin, startLoginApp, transactionsOf, withParameter } from '../support/login-flow.ts'
import { sid, startSessionApp } from '../support/session-app.ts'

const tenTimes = Array.from({ length: 10 })

test('F30 one callback ten times at once is redeemed once: ten redirects, the same cookie, and onLogin once', async (t) => {
  const logins: string[] = []
  const { browser, server, clock } = await startLoginApp(t, { login: { onLogin: (_request, _reply, { sessionId }) => { logins.push(sessionId) } } })
  const callback = await authorize(await startLogin(browser, '/auth/login?returnTo=/page'))
  const tabs = tenTimes.map(() => browser.clone())
  const gate = server.hold()
  const answers = Promise.all(tabs.map((tab) => tab.get(callback)))
  await gate.arrived()
  gate.release()
  for (const { status, headers, setCookies } of await answers) {
    t.match([status, headers.get('location')], [303, '/page'])
    t.equal(setCookies.length, 2)
  }
  const cookies = new Set((await answers).map(({ setCookies }) => setCookies.toSorted().join('\n')))
  t.equal(cookies.size, 1, 'byte for byte')
  t.equal(server.codeExchanges, 1)
  t.equal(logins.length, 1)
  clock.now += 301
  t.equal((await tabs[7]?.get('/token'))?.status, 200, 'the grant lives')
})

test('F30 with the store of @fastify/session ten callbacks make one record, and each of them finds it', async (t) => {
  const { browser, server, store } = await startSessionApp(t)
  await browser.post('/cart')
  const callback = await authorize(await startLogin(browser))
  const tabs = tenTimes.map(() => browser.clone())
  const gate = server.hold()
  const answers = Promise.all(tabs.map((tab) => tab.get(callback)))
  await gate.arrived()
  gate.release()
  t.ok((await answers).every(({ status }) => status === 303))
  t.equal([...store.records.values()].filter((record) => record.includes('"content"')).length, 1)
  const tokens = new Set()
  for (const tab of tabs) tokens.add((await tab.get('/token')).json.token)
  t.equal(tokens.size, 1)
  t.ok(sid(browser))
  t.match((await tabs[3]?.get('/session'))?.json, { cart: ['book'] })
})

test('F30 a callback that comes again within the grace period gets the same cookie, then it is over, and a logout wins at once', async (t) => {
  const { browser, server, clock } = await startLoginApp(t)
  const callback = await authorize(await startLogin(browser))
  const [late, later, latest] = [browser.clone(), browser.clone(), browser.clone()]
  await browser.get(callback)
  clock.now += 29
  t.equal((await late.get(callback)).status, 303)
  t.equal(late.cookies.get('tokens'), browser.cookies.get('tokens'))
  await browser.post('/auth/logout')
  t.match(await later.get(callback), { status: 400, json: { message: /has ended already/ } })
  t.equal(later.cookies.size, 0)
  clock.now += 2
  t.match(await latest.get(callback), { status: 400, json: { message: /finished it already/ } })
  t.equal(server.codeExchanges, 1)
})

test('a callback that comes again after a refresh gets the session as it is by now', async (t) => {
  const { browser, server, clock } = await startLoginApp(t, { server: { expiresIn: 10 } })
  const callback = await authorize(await startLogin(browser))
  const late = browser.clone()
  await browser.get(callback)
  clock.now += 11
  const { token } = (await browser.get('/token')).json
  await late.get(callback)
  t.equal((await late.get('/token')).json.token, token)
  t.equal(server.refreshes, 1)
})

const passing: Array<[what: string, fault: Fault]> = [
  ['503', faults.empty(503)],
  ['500 with an OAuth error', faults.oauthError('server_error', 500)],
  ['429', faults.retryAfter(429, 7)],
  ['no answer', faults.resetBefore()]
]

for (const [what, fault] of passing) {
  test(`F32 a callback that met ${what} is a 503, and its reload logs in`, async (t) => {
    const { browser, server } = await startLoginApp(t)
    server.fault(fault, 1)
    const callback = await authorize(await startLogin(browser, '/auth/login?returnTo=/page'))
    const failed = await browser.get(callback)
    t.match(failed, { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
    t.ok(failed.headers.has('retry-after'))
    t.equal(transactionsOf(browser).length, 1, 'the login is still under way')
    const answer = await browser.get(callback)
    t.match([answer.status, answer.headers.get('location')], [303, '/page'])
    t.equal((await browser.get('/token')).status, 200)
  })
}

test('F32 ten callbacks at once that meet a 503 ask once, and all are told', async (t) => {
  const entrance = new Gate()
  entrance.release()
  const { browser, server } = await startLoginApp(t, { before: (app) => app.addHook('onRequest', () => entrance.pass()) })
  server.fault(faults.empty(503))
  const gate = server.hold()
  const callback = await authorize(await startLogin(browser))
  const answers = Promise.all(tenTimes.map(() => browser.clone().get(callback)))
  await entrance.arrived(11)
  await gate.arrived()
  gate.release()
  t.ok((await answers).every(({ status }) => status === 503))
  t.equal(server.codeExchanges, 1)
})

test('a callback that was refused for good is not sent again, whoever brings it', async (t) => {
  const { browser, server } = await startLoginApp(t)
  server.fault(faults.oauthError('invalid_grant'))
  const callback = await authorize(await startLogin(browser))
  const copies = tenTimes.map(() => browser.clone())
  for (const copy of copies) t.match(await copy.get(callback), { status: 400, json: { message: /invalid_grant/ } })
  t.equal(server.codeExchanges, 1)
})

test('F40 100 callbacks with invented states and cookies cost no request to the provider', async (t) => {
  const { origin, server, browser } = await startLoginApp(t)
  await startLogin(browser)
  const sealed = sealedLogin(browser)
  server.forgetRequests()
  const bodies = ['', 'x', randomBytes(300).toString('base64url'), `${randomBytes(100).toString('base64url')}.${randomBytes(24).toString('base64url')}`, sealed]
  const answers = await Promise.all(Array.from({ length: 100 }, async (_, index) => {
    const state = randomBytes(16).toString('base64url')
    const cookies: Array<[string, string]> = [[`login-${state.slice(0, 8)}`, bodies[index % bodies.length] ?? ''], ['login-state', state], ['login-verifier', 'v'.repeat(43)]]
    return await new Browser(origin, cookies).get(`/auth/callback?code=${index}&state=${state}&iss=${encodeURIComponent(server.issuer)}`)
  }))
  t.ok(answers.every(({ status }) => status === 400))
  t.equal(server.requests.length, 0)
})

test('F40 one login that was begun takes one try with an invented code, and no more', async (t) => {
  const { browser, server } = await startLoginApp(t)
  const callback = await authorize(await startLogin(browser))
  const copies = tenTimes.map(() => browser.clone())
  for (const copy of copies) t.equal((await copy.get(withParameter(callback, 'code', randomBytes(8).toString('hex')))).status, 400)
  t.equal(server.codeExchanges, 1)
})

test('F42 where onLogin throws nobody is logged in, and what was issued is revoked', async (t) => {
  const ended: string[] = []
  const { browser, server, errors } = await startLoginApp(t, {
    login: {
      onLogin: async (request) => {
        await request.accessToken()
        throw Object.assign(new Error('you are not welcome'), { statusCode: 403 })
      }
    },
    onSessionEnded: ({ reason }) => { ended.push(reason) }
  })
  const callback = await authorize(await startLogin(browser))
  const copy = browser.clone()
  t.match(await browser.get(callback), { status: 403, json: { message: 'you are not welcome' } })
  t.equal(errors[0]?.message, 'you are not welcome', 'it is the app\'s own error that its error handler gets')
  t.equal(browser.cookies.size, 0)
  t.strictSame(server.requestsTo('revocation').map(({ params }) => params.token_type_hint), ['refresh_token', 'access_token'])
  t.equal(server.families.at(-1)?.alive, false)
  t.equal((await copy.get(callback)).status, 403, 'and who comes again is answered the same')
  t.equal((await copy.get('/token')).status, 401)
  t.equal(server.codeExchanges, 1)
  t.strictSame(ended, [], 'no session has been')
})

test('F42 where onLogin throws the session before it ends, too', async (t) => {
  let refuses = false
  const { browser, server } = await startLoginApp(t, { login: { onLogin: () => { if (refuses) throw new Error('not any more') } } })
  await logIn(browser)
  const old = browser.clone()
  refuses = true
  t.equal((await logIn(browser)).status, 500)
  for (const each of [browser, old]) t.equal((await each.get('/token')).status, 401)
  t.ok(server.families.every(({ alive }) => !alive))
})

test('F42 a session that does not fit is no login, and what was issued is revoked', async (t) => {
  const { browser, server } = await startLoginApp(t, { server: { tokenBytes: 4000 } })
  t.match(await logIn(browser), { status: 500, json: { code: 'FST_TOKEN_SESSION_TOO_LARGE' } })
  t.equal(server.families.at(-1)?.alive, false)
  t.equal(browser.cookies.size, 0)
})

test('F43 who logs in over another person\'s session ends and revokes that', async (t) => {
  const ended: unknown[] = []
  const sessions: TokenSet[] = []
  const { browser, server } = await startLoginApp(t, {
    login: { onLogin: (_request, _reply, tokens) => { sessions.push(tokens) } },
    onSessionEnded: (event) => { ended.push(event) }
  })
  await logIn(browser)
  const old = browser.clone()
  server.settings.user = 'bob'
  await logIn(browser)
  t.strictSame(server.families.map(({ sub, alive }) => [sub, alive]), [['alice', false], ['bob', true]])
  t.equal((await old.get('/token')).status, 401)
  t.equal(server.whoHas(String((await browser.get('/token')).json.token))?.sub, 'bob')
  t.strictSame(ended, [{ provider: 'default', sessionId: sessions[0]?.sessionId, reason: 'replaced' }])
})

test('F43 the same person\'s session is not revoked: it is served for the grace period, written no more, and then ended', async (t) => {
  const ended: unknown[] = []
  const { browser, server, clock } = await startLoginApp(t, { server: { expiresIn: 20 }, onSessionEnded: ({ reason }) => { ended.push(reason) } })
  await logIn(browser)
  const old = browser.clone()
  await logIn(browser)
  t.equal(server.revocations, 0)
  t.strictSame(ended, ['replaced'])
  for (const seconds of [0, 21, 8]) {
    clock.now += seconds
    const answer = await old.get('/token')
    t.equal(answer.status, 200)
    t.strictSame(answer.setCookies, [], 'a late answer does not take the new session away')
  }
  clock.now += 1
  t.match(await old.get('/token'), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED' } })
  t.equal((await browser.get('/token')).status, 200)
  await old.post('/auth/logout')
  await new Promise(setImmediate)
  t.strictSame(ended, ['replaced'], 'and nothing ends twice')
  t.equal(server.revocations, 0)
})

test('F43 where nobody can tell the person, the session before ends at once, and is not revoked', async (t) => {
  const { browser, server } = await startLoginApp(t, { login: { scope: ['orders'] } })
  await logIn(browser)
  const old = browser.clone()
  await logIn(browser)
  t.equal((await old.get('/token')).status, 401)
  t.equal(server.revocations, 0)
})

test('F43 request.tokens.save() ends the session before it in the same way', async (t) => {
  const { app, browser, server } = await startLoginApp(t)
  await logIn(browser)
  const { access_token: accessToken, token_type: tokenType, id_token: idToken } = await server.issue({ sub: 'bob' })
  await app.inject({ method: 'POST', url: '/save', headers: { cookie: browser.header }, payload: { access_token: accessToken, token_type: tokenType, id_token: idToken } })
  t.equal((await browser.get('/token')).status, 401)
  t.equal(server.families[0]?.alive, false)
})
