/* Trouble is kept where it belongs: what goes wrong for one is no matter of the others, and a service that is down costs nobody a session. */
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import type { Browser } from '../support/browser.ts'
import { ages, startScenario } from '../support/scenario.ts'

const hostile: Record<string, Fault> = {
  'always 500': faults.empty(500),
  '429 with Retry-After': faults.retryAfter(429, 300),
  '503 with Retry-After': faults.retryAfter(503, 120),
  'a gateway\'s 502': faults.html(502),
  'a reset connection': faults.resetBefore(),
  'a lost answer': faults.resetAfter(),
  'an empty 403': faults.empty(403),
  HTML: faults.html(200),
  invalid_request: faults.oauthError('invalid_request')
}

for (const [name, fault] of Object.entries(hostile)) {
  const healthy = name === 'always 500' ? 40 : 10
  test(`F2 F3 ${healthy} healthy sessions beside five that get ${name}, for 60 s: no healthy request fails, and each hostile session costs one request in its own pause`, async (t) => {
    const { server, login, clock } = await startScenario(t, {}, { expiresIn: 20 })
    const bad = await Promise.all(Array.from({ length: 5 }, (_, index) => login({ sub: `hostile ${index}` })))
    const good = await Promise.all(Array.from({ length: healthy }, (_, index) => login({ sub: `healthy ${index}` })))
    server.faultFor((sub) => sub.startsWith('hostile'), fault)
    const failed = new Set<number>()
    for (let second = 0; second < 60; second += 5) {
      clock.now += 5
      const asked = [...bad.slice(0, 3), ...good, ...bad.slice(3)]
      const answers = await Promise.all(asked.map((browser) => browser.get('/token')))
      answers.forEach(({ status }, index) => { if (good.includes(asked[index] as Browser) && status !== 200) failed.add(status) })
    }
    t.strictSame([...failed], [])
    const costs = bad.map((_, index) => server.requestsTo('token').filter(({ params }) => server.familyOf(params.refresh_token ?? '')?.sub === `hostile ${index}`).length)
    t.ok(costs.every((cost) => cost >= 1 && cost <= 12), `${costs} requests`)
  })
}

test('F3 a wish that gets 429 with Retry-After pauses that wish alone, and F11 one that is refused says nothing of the login\'s own token', async (t) => {
  const { server, check, login, clock } = await startScenario(t, {
    routes: (app) => { app.get<{ Querystring: { resource: string } }>('/api', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken(request.query) })) }
  }, { resources: ['https://a.example', 'https://b.example'] })
  const browser = await login()
  server.fault(faults.retryAfter(429, 300))
  await check(await browser.get('/api?resource=https://a.example'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 300, tokenRequests: 1, told: ['failed: unavailable'] })
  await check(await browser.get('/api?resource=https://a.example'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 300 })
  await check(await browser.get('/api?resource=https://b.example'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  for (const resource of ['https://nobody.example', 'https://nowhere.example']) {
    await check(await browser.get(`/api?resource=${resource}`), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1, told: ['failed: refused'] })
    await check(await browser.get(`/api?resource=${resource}`), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED' }, 'not asked again at once')
  }
  clock.now += ages.expired
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
})

test('F11 invalid_grant and consent_required to another wish ask for a login, and end nobody\'s session', async (t) => {
  const { server, check, login } = await startScenario(t, {
    routes: (app) => { app.get<{ Querystring: { scope: string } }>('/api', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken(request.query) })) }
  })
  const browser = await login()
  for (const error of ['invalid_grant', 'consent_required']) {
    server.fault(faults.oauthError(error))
    await check(await browser.get('/api?scope=openid'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: error === 'invalid_grant' ? 1 : 0, ...(error === 'invalid_grant' && { told: ['failed: rejected'] }) })
    server.clearFaults()
  }
  await check(await browser.get('/token'), { status: 200 })
  await check(await browser.get('/renew'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
})

test('F11 a wish that waited for another one which was refused asks for itself', async (t) => {
  const { server, login, atOnce } = await startScenario(t, {
    routes: (app) => { app.get<{ Querystring: { resource?: string } }>('/api', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken(request.query) })) }
  }, { resources: ['https://a.example', 'https://b.example'] })
  const browser = await login()
  const urls = ['https://nobody.example', 'https://a.example', 'https://b.example'].map((resource) => `/api?resource=${resource}`)
  const answers = await atOnce(server.hold(), urls.map((url) => () => browser.clone().get(url)))
  t.strictSame(answers.map(({ status }) => status), [502, 200, 200])
  t.equal(server.tokenRequests, 3)
})

test('F5 the service takes long while the token is still good: it serves after a second at most, and what comes behind it is kept', async (t) => {
  const { server, check, heard, loginAged, clock } = await startScenario(t)
  const browser = await loginAged(ages.inWindow)
  const gate = server.hold()
  const before = browser.clone()
  await check(await browser.get('/token'), { status: 200, tokenRequests: 1 })
  await check(await browser.get('/token'), { status: 200 }, 'and the next one does not wait')
  gate.release()
  await heard()
  await check(await before.get('/token'), { status: 200, cookie: 'set', told: ['refreshed'] }, 'the successor reaches the browser with a later response')

  clock.now += 10_800
  t.equal((await browser.get('/token')).status, 200, 'a browser that comes back after three hours gets it too')
  t.equal(server.families[0]?.alive, true)
})

test('closing the app waits for a refresh that goes on behind its request', async (t) => {
  const { server, app, loginAged } = await startScenario(t, { backchannel: undefined })
  const browser = await loginAged(ages.inWindow)
  const gate = server.hold({ what: 'answers' })
  t.equal((await browser.get('/token')).status, 200)
  let isClosed = false
  const closing = app.close().then(() => { isClosed = true })
  await pause(50)
  t.notOk(isClosed)
  gate.release()
  await closing
  t.equal(server.requestsTo('token').at(-1)?.status, 200)
})

test('F4 the service is frozen while 50 sessions are expired: only those can be lost that were in flight, and a probe risks none', async (t) => {
  const { server, loginAged, clock } = await startScenario(t, { requestTimeout: 0.5 })
  const browsers = await Promise.all(Array.from({ length: 50 }, () => loginAged(0)))
  clock.now += ages.expired
  const frozen = [server.hold(), server.hold({ endpoint: 'probe' })]
  const first = await Promise.all(browsers.map((browser) => browser.get('/token')))
  t.strictSame(new Set(first.map(({ status }) => status)), new Set([503]))
  const inFlight = server.tokenRequests
  t.ok(inFlight <= 10, `${inFlight} were in flight`)
  for (let second = 0; second < 10; second++) {
    clock.now += 1
    const answers = await Promise.all(browsers.map((browser) => browser.get('/token')))
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([503]))
  }
  t.equal(server.tokenRequests, inFlight, 'no refresh token is spent to find out')
  for (const gate of frozen) gate.release()
  clock.now += 31
  let lost = 0
  for (const browser of browsers) {
    const { status } = await browser.get('/token')
    if (status !== 200) lost++
  }
  t.ok(lost <= inFlight, `${lost} are lost`)
})

test('F54 somebody with a copy of the session refreshes first: the spent cookie of the other one is told, once, and logged', async (t) => {
  const reused: unknown[] = []
  const { server, login, clock, log } = await startScenario(t, { onRefreshTokenReused: (event) => { reused.push(event) } })
  const thief = await login()
  const victim = thief.clone()
  clock.now += ages.expired
  t.equal((await thief.get('/token')).status, 200)
  t.equal((await thief.get('/token')).status, 200)
  clock.now += 31
  for (let request = 0; request < 2; request++) t.match(await victim.clone().get('/token'), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED' } })
  await new Promise(setImmediate)
  t.match(reused, [{ provider: 'default', sessionId: String }])
  t.equal(reused.length, 1)
  t.match(log.filter((line) => line.includes('spent by somebody else')), [/"level":40/])
  t.equal(server.tokenRequests, 1, 'it is not sent: that would end the session of both')
})

test('one cookie on a thousand parallel requests, and an answer of 500: nobody stands in line again to be told', async (t) => {
  const { server, app, login, clock } = await startScenario(t)
  const browser = await login()
  clock.now += ages.expired
  server.fault(faults.empty(500), Infinity)
  const answers = await Promise.all(Array.from({ length: 1000 }, () => app.inject({ url: '/token', headers: { cookie: browser.header } })))
  t.ok(answers.every(({ statusCode }) => statusCode === 503))
  t.equal(server.tokenRequests, 1)
})

test('the trouble of one client\'s HTTP client, or of its authentication, is no matter of the users', async (t) => {
  const { server, app, loginAged } = await startScenario(t, {
    clients: { partner: { clientId: 'partner', clientAuthentication: () => { throw new Error('the key store is away') } } }
  })
  await t.rejects(app.clientAccessToken('partner'), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
  const browser = await loginAged(ages.expired)
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.probes, 0)
})
