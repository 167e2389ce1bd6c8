/* What happens around a refresh: clients that leave, handlers that fail, slow responses, logouts. None of it loses or revives a session. */
import { request as httpRequest } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { test } from 'tap'
import { Gate } from '../../lib/testing/provider/gate.ts'
import type { AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Browser } from '../support/browser.ts'
import { ages, cookieOf, startScenario } from '../support/scenario.ts'
import { sessionKey } from '../support/start-app.ts'

const refreshed = { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] } as const
const corrected = { status: 200, cookie: 'set' } as const
const nobody = { status: 401, code: 'FST_TOKEN_UNAUTHENTICATED' } as const
const withoutHook = { config: { tokens: false } } as const

/** A client that sends a request, and hangs up when it is told to. */
function impatient (browser: Browser, path: string): { hangUp (): void } {
  const request = httpRequest(new URL(path, browser.origin), { headers: { cookie: browser.header } })
  request.on('error', () => {})
  request.end()
  return { hangUp: () => request.destroy() }
}

/** Settles as the app has noticed that a client is gone. */
function watchAborts (): { before (app: FastifyInstance): void, aborted: Gate } {
  const aborted = new Gate()
  aborted.release()
  return { aborted, before: (app) => { app.addHook('onRequestAbort', async (_request) => { await aborted.pass() }) } }
}

/** `GET /slow` takes its token, waits at the gate, and answers. `GET /clear` and `GET /revoke` log out, without the hook. */
function slowAndLogouts (slow: Gate) {
  return (app: FastifyInstance) => {
    app.get('/slow', async (request) => {
      const token = await request.accessToken()
      await slow.pass()
      return { token }
    })
    app.get('/clear', withoutHook, async (request) => { await request.tokens.clear(); return {} })
    app.get('/revoke', withoutHook, async (request) => { await request.tokens.revoke(); return {} })
  }
}

/** The refresh tokens that were revoked, newest last. */
const revocations = (server: AuthorizationServer) => server.requestsTo('revocation').flatMap(({ params }) => params.token_type_hint === 'refresh_token' ? [params.token] : [])

test('the client that started a refresh hangs up in the middle of it: the next request has the successor', async (t) => {
  const { before, aborted } = watchAborts()
  const { server, check, loginAged } = await startScenario(t, { before })
  const browser = await loginAged(ages.expired)
  const gate = server.hold()
  const leader = impatient(browser, '/token')
  await gate.arrived()
  leader.hangUp()
  await aborted.arrived()
  gate.release()

  await check(await browser.get('/token'), refreshed)
  await check(await browser.get('/token'), { status: 200 })
})

test('a client that waits for a refresh hangs up: everybody else has the successor', async (t) => {
  const { before, aborted } = watchAborts()
  const { server, check, entered, loginAged } = await startScenario(t, { before })
  const browser = await loginAged(ages.expired)
  const gate = server.hold()
  const leader = browser.clone().get('/token')
  await gate.arrived()
  const bothInside = entered(2)
  const waiter = impatient(browser, '/token')
  const third = browser.clone().get('/token')
  await bothInside
  waiter.hangUp()
  await aborted.arrived()
  gate.release()

  await check(await leader, refreshed)
  await check(await third, corrected)
  await check(await browser.get('/token'), corrected)
})

const badEndings: Record<string, (app: FastifyInstance) => unknown> = {
  'the handler throws': (app) => app.get('/bad', async (request) => {
    await request.accessToken()
    throw new Error('as the test asked for')
  }),
  'a later hook throws': (app) => app.get('/bad', { preHandler: async () => { throw new Error('as the test asked for') } }, async () => ({})),
  'the upstream fails, and the reply is a 500': (app) => app.get('/bad', async (request, reply) => {
    await request.accessToken()
    return await reply.code(500).send({ upstream: 'down' })
  })
}

for (const [what, routes] of Object.entries(badEndings)) {
  test(`${what} after a refresh: the error response brings the successor, and if it is lost the next request does`, async (t) => {
    const { check, loginAged } = await startScenario(t, { routes })
    const browser = await loginAged(ages.expired)
    const answer = await browser.clone().get('/bad')

    await check(answer, { ...refreshed, status: 500 })
    await check(await browser.get('/token'), corrected)
    await check(await browser.get('/token'), { status: 200 })
  })
}

test('the reply is a stream, whole or torn: the successor comes with it, and the next request has it too', async (t) => {
  const { check, loginAged } = await startScenario(t, {
    routes: (app) => {
      app.get('/whole', async (request) => Readable.from([await request.accessToken()]))
      app.get('/torn', async (request) => {
        await request.accessToken()
        return new Readable({ read () { this.push('half of it'); this.destroy(new Error('as the test asked for')) } })
      })
    }
  })
  const whole = await loginAged(ages.expired)
  await check(await whole.get('/whole'), refreshed)
  await check(await whole.get('/whole'), { status: 200 })

  const torn = await loginAged(ages.expired)
  await t.rejects(torn.get('/torn'))
  await check(await torn.clone().get('/token'), { ...corrected, tokenRequests: 1, told: ['refreshed'] })
})

test('a hijacked reply that leaves the refreshed cookie out loses nothing', async (t) => {
  const { check, loginAged } = await startScenario(t, {
    routes: (app) => app.get('/hijacked', async (_request, reply) => { reply.hijack(); reply.raw.end('{}') })
  })
  const browser = await loginAged(ages.expired)

  await check(await browser.get('/hijacked'), { ...refreshed, cookie: 'unchanged' })
  await check(await browser.get('/token'), corrected)
})

test('callbacks that throw break nothing, and are logged', async (t) => {
  const fail = () => { throw new Error('as the test asked for') }
  const { server, logged, clock, loginAged } = await startScenario(t, {
    onRefreshed: fail,
    onRefreshFailed: async () => { fail() },
    onSessionEnded: fail
  })
  const browser = await loginAged(ages.expired)
  t.equal((await browser.get('/token')).status, 200)
  t.match(await logged(/onRefreshed failed/), /as the test asked for/)
  server.fault(faults.oauthError('invalid_grant'))
  t.equal((await browser.get('/renew')).status, 401)
  await logged(/onRefreshFailed failed/)
  clock.now += 31
  t.equal((await browser.get('/renew')).status, 401)
  await logged(/onSessionEnded failed/)
})

for (const how of ['clear', 'revoke'] as const) {
  test(`a ${how} during a refresh in flight wins: the session does not come back, and the successor is revoked`, async (t) => {
    const { server, check, loginAged } = await startScenario(t, { routes: slowAndLogouts(new Gate()) })
    const browser = await loginAged(ages.expired)
    const spent = server.families[0]?.newestRefreshToken
    const gate = server.hold({ what: 'answers' })
    const leader = browser.clone().get('/token')
    const waiter = browser.clone().get('/optional')
    await gate.arrived()
    const late = browser.clone()
    await check(await browser.get(`/${how}`), { status: 200, cookie: 'cleared', tokenRequests: 1, told: ['ended: logout'] })
    const revoked = server.hold({ endpoint: 'revocation' })
    gate.release()

    await check(await leader, nobody, 'it sets no cookie, and clears none: by now there may be a new login')
    const optional = await waiter
    await check(optional, { status: 200 })
    t.equal(optional.json.token, null)
    await check(await browser.get('/token'), nobody)
    await check(await late.get('/token'), nobody, 'a copy of the old cookie')
    await revoked.arrived()
    revoked.release()
    const successor = server.families[0]?.newestRefreshToken
    t.strictSame(revocations(server), how === 'clear' ? [successor] : [spent, successor])
  })

  test(`a ${how} after a refresh, before its slow response is sent: that response brings nothing back`, async (t) => {
    const slow = new Gate()
    const { server, check, loginAged } = await startScenario(t, { routes: slowAndLogouts(slow) })
    const browser = await loginAged(ages.expired)
    const late = browser.clone()
    const running = browser.clone().get('/slow')
    await slow.arrived()
    await check(await browser.get(`/${how}`), { status: 200, cookie: 'cleared', tokenRequests: 1, told: ['ended: logout', 'refreshed'] })
    slow.release()

    await check(await running, { status: 200 })
    await check(await late.get('/token'), nobody)
    t.strictSame(revocations(server), how === 'clear' ? [] : [server.families[0]?.newestRefreshToken], 'the newest of the chain')
  })
}

test('the session of somebody else, and a new login, are not touched by a logout', async (t) => {
  const { check, login, loginAged } = await startScenario(t, { routes: slowAndLogouts(new Gate()) })
  const [alice, bob] = [await login(), await loginAged(0)]
  await check(await alice.get('/clear'), { status: 200, cookie: 'cleared', told: ['ended: logout'] })
  await check(await bob.get('/token'), { status: 200 })
  await check(await (await login()).get('/token'), { status: 200 })
})

test('R13 a slow response that changed nothing never writes its old session over a newer one', async (t) => {
  const slow = new Gate()
  const { server, check, loginAged } = await startScenario(t, { routes: slowAndLogouts(slow), gracePeriod: 1000 })
  const browser = await loginAged(0)
  const running = browser.clone().get('/slow')
  await slow.arrived()
  const renewed = await browser.get('/renew')
  await check(renewed, refreshed)
  slow.release()

  const answer = await running
  await check(answer, corrected)
  t.strictSame(answer.setCookies, renewed.setCookies, 'what it sets is the newest')
  t.equal(server.whoHas(String(answer.json.token))?.sub, 'alice')
})

test('a slow response that refreshed, while others refreshed again: it sets the newest session', async (t) => {
  const slow = new Gate()
  const { check, loginAged } = await startScenario(t, { routes: slowAndLogouts(slow) })
  const browser = await loginAged(ages.expired)
  const running = browser.clone().get('/slow')
  await slow.arrived()
  const newest = await browser.get('/renew')
  await check(newest, { ...refreshed, tokenRequests: 2, told: ['refreshed', 'refreshed'] })
  slow.release()

  const answer = await running
  await check(answer, corrected)
  t.strictSame(answer.setCookies, newest.setCookies)
})

test('the roll of the inactivity time is written once in half of it, and never while a refresh is in flight', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t, { session: { key: sessionKey, inactivityDuration: 1000 } }, { expiresIn: 10_000 })
  const browser = await loginAged(499)
  await check(await browser.get('/token'), { status: 200 })
  clock.now += 1
  const gate = server.hold()
  const renewing = browser.clone().get('/renew')
  await gate.arrived()
  await check(await browser.clone().get('/token'), { status: 200, tokenRequests: 1 }, 'a successor is on its way')
  gate.release()
  const renewed = await renewing
  t.equal(cookieOf(renewed), 'set')

  const late = await browser.get('/token')
  await check(late, { ...corrected, told: ['refreshed'] })
  t.strictSame(late.setCookies, renewed.setCookies)
  clock.now += 500
  await check(await browser.get('/token'), corrected, 'half of the time is over: it is rolled')
  clock.now += 999
  await check(await browser.get('/token'), corrected)
  clock.now += 1000
  await check(await browser.get('/token'), { ...nobody, cookie: 'cleared' }, 'and it ends')
})

test('R19 sent and no answer is ambiguous: not sent again by this refresh, but by a later request after the back-off', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t)
  const kept = await loginAged(ages.expired)
  server.fault(faults.resetBefore())
  await check(await kept.get('/token'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 5, tokenRequests: 1, told: ['failed: ambiguous'] })
  clock.now += 4.9
  await check(await kept.get('/token'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 1 })
  clock.now += 0.2
  await check(await kept.get('/token'), refreshed, 'it was not spent: the session is saved')

  clock.now += ages.expired
  server.fault(faults.resetAfter())
  await check(await kept.get('/token'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 5, tokenRequests: 1, told: ['failed: ambiguous'] })
  clock.now += 6
  await check(await kept.get('/token'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1, told: ['failed: ended, the end'] }, 'it was spent: the session is lost in any case')
})

test('R19 with retryAmbiguous, what is ambiguous is sent again by the same refresh: a service with a grace period answers it', async (t) => {
  const { server, check, loginAged } = await startScenario(t, { retryAmbiguous: true }, { grace: { seconds: 30 } })
  const browser = await loginAged(ages.expired)
  server.fault(faults.resetAfter())
  await check(await browser.get('/token'), { ...refreshed, tokenRequests: 2 })
  t.equal(server.families[0]?.alive, true)
})

test('tokens.get() is null where nobody is logged in (any more), and throws what is not about the user', async (t) => {
  const { server, check, clock, login } = await startScenario(t)
  const browser = await login()
  const get = () => browser.get('/tokens')
  clock.now += ages.expired
  server.fault(faults.empty(500))
  await check(await get(), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 1, tokenRequests: 1, told: ['failed: unavailable'] })
  clock.now += 1
  server.fault(faults.oauthError('invalid_grant'))
  const ended = await get()
  await check(ended, { status: 200, tokenRequests: 1, told: ['failed: ended, the end'] })
  t.equal(ended.text, 'null')
  browser.cookies.clear()
  t.equal((await get()).text, 'null')
})

test('R24 a revocation that fails, or has only an access token to revoke, ends the session all the same', async (t) => {
  const { server, check, login, log, save } = await startScenario(t, { routes: slowAndLogouts(new Gate()) })
  server.fault(faults.empty(503), 1, 'revocation')
  const browser = await login()
  await check(await browser.clone().get('/revoke'), { status: 200, cookie: 'cleared', told: ['ended: logout'] })
  t.ok(log.some((line) => line.includes('could not be revoked at the provider')))
  await check(await browser.get('/token'), nobody)

  const { refresh_token: _, ...tokens } = await server.issue()
  await check(await (await save(tokens)).get('/revoke'), { status: 200, cookie: 'cleared', told: ['ended: logout'] })
  t.match(server.requestsTo('revocation').at(-1)?.params, { token: tokens.access_token, token_type_hint: 'access_token' })
  t.equal(server.whoHas(tokens.access_token), null)
})
