import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import type { Answer } from '../support/browser.ts'
import { ages, startScenario } from '../support/scenario.ts'

const refreshed = { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] } as const
const corrected = { status: 200, cookie: 'set' } as const
const minutes = 60

test('the lifetime of a token begins when its request leaves, and not when that begins to wait for a connection', async (t) => {
  const { server, entered, login, clock } = await startScenario(t, { backchannel: { connections: 1 } })
  const [first, second] = [await login(), await login()]
  clock.now += ages.expired
  const gate = server.hold()
  const bothInside = entered(2)
  const refreshing = [first.get('/token'), second.get('/token')]
  await bothInside
  await gate.arrived()
  clock.now += 59
  gate.release()
  t.strictSame((await Promise.all(refreshing)).map(({ status }) => status), [200, 200])
  const texts = await Promise.all([first, second].map(async (browser) => (await browser.get('/tokens')).text))
  t.strictSame(texts.map((text) => Number(/"issuedAt":([\d.]+)/.exec(text)?.[1])).toSorted(), [clock.now - 59, clock.now])
})

test('50 parallel requests on one expired session are one refresh, told as one that 50 waited for; the session lives on', async (t) => {
  const waited: number[] = []
  const { server, atOnce, loginAged } = await startScenario(t, { onRefreshed: ({ requests }) => { waited.push(requests) } })
  const browser = await loginAged(ages.expired)

  const answers = await atOnce(server.hold(), Array.from({ length: 50 }, () => () => browser.clone().get('/token')))
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ setCookies }) => setCookies.join())).size, 1)
  t.equal(new Set(answers.map(({ json }) => json.token)).size, 1)
  t.equal(server.tokenRequests, 1)
  t.strictSame(waited, [50])
  t.equal(server.whoHas(String(answers[0]?.json.token))?.sub, 'alice')
})

test('a late request with the spent cookie gets the successor and its cookie, also while its own access token is still valid', async (t) => {
  const { check, login, clock } = await startScenario(t)
  const browser = await login()
  const late = browser.clone()
  const renewed = await browser.get('/renew')
  await check(renewed, refreshed)
  await check(await browser.get('/token'), { status: 200 }, 'the successor has come back')

  for (const seconds of [0, 29]) {
    clock.now += seconds
    const answer = await late.clone().get('/token')
    await check(answer, corrected, `${seconds} s later`)
    t.equal(answer.json.token, renewed.json.token)
    t.strictSame(answer.setCookies, renewed.setCookies)
  }
})

test('a late request follows a chain of several refreshes to its end', async (t) => {
  const { server, check, login } = await startScenario(t)
  const browser = await login()
  const late = [browser.clone()]
  let newest: Answer | undefined
  for (let generation = 1; generation <= 4; generation++) {
    newest = await browser.get('/renew')
    await check(newest, refreshed, `generation ${generation}`)
    if (generation < 4) late.push(browser.clone())
  }

  for (const [generation, each] of late.entries()) {
    const answer = await each.get('/token')
    await check(answer, corrected, `generation ${generation}`)
    t.equal(answer.json.token, newest?.json.token)
    t.strictSame(answer.setCookies, newest?.setCookies)
  }
  t.ok(server.isAlive(String(newest?.json.token)))
})

test('a client whose response was lost comes back 20 minutes later with the spent cookie, and gets the successor', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  server.settings.expiresIn = 60 * minutes
  const lost = await browser.clone().get('/token')
  await check(lost, refreshed)
  clock.now += 20 * minutes

  const answer = await browser.get('/token')
  await check(answer, corrected)
  t.equal(answer.json.token, lost.json.token)
})

test('the successor of a lost response has expired meanwhile too: its refresh token is spent, and not the one before', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  await check(await browser.clone().get('/token'), refreshed)
  clock.now += 20 * minutes

  const answer = await browser.get('/token')
  await check(answer, refreshed)
  const [first, second] = server.requestsTo('token').map(({ params }) => params.refresh_token)
  t.not(first, second)
  t.ok(server.isAlive(String(answer.json.token)), 'the family lives')
})

test('after the grace period of a successor that has come back, the spent cookie is refused: its token is never sent again', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  const stale = browser.clone()
  await check(await browser.get('/token'), refreshed)
  await check(await browser.get('/token'), { status: 200 })
  clock.now += 31

  await check(await stale.get('/token'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED' })
  await check(await browser.get('/token'), { status: 200 }, 'the token of the newest session serves its time')
  t.equal(server.families[0]?.alive, true)
})

test('two calls in one request are one refresh, one after the other or at once, and the second sees what the first stored', async (t) => {
  for (const refresh of ['onRequest', 'preHandler', 'manual'] as const) {
    const { check, loginAged } = await startScenario(t, {
      refresh,
      routes: (app) => {
        app.get('/sequence', async (request) => {
          const first = await request.accessToken()
          return { tokens: [first, await request.accessToken(), (await request.tokens.get())?.accessTokens[0]?.accessToken] }
        })
        app.get('/at-once', async (request) => ({ tokens: await Promise.all([request.accessToken(), request.accessToken()]) }))
        app.get('/renewed', async (request) => {
          const renewed = await request.accessToken({ forceRenewal: true })
          return { tokens: [renewed, await request.accessToken()] }
        })
      }
    })
    for (const path of ['/sequence', '/at-once']) {
      const answer = await (await loginAged(ages.expired)).get(path)
      await check(answer, refreshed, `${refresh} ${path}`)
      t.equal(new Set([answer.json.tokens].flat()).size, 1)
    }
    const answer = await (await loginAged(0)).get('/renewed')
    await check(answer, refreshed, `${refresh} /renewed`)
    t.equal(new Set([answer.json.tokens].flat()).size, 1)
  }
})

test('two resources wished for at once are two spends along the chain, and each wish gets its own token', async (t) => {
  const resources = ['https://orders.example', 'https://bills.example']
  const { server, check, loginAged } = await startScenario(t, {
    refresh: 'manual',
    routes: (app) => {
      app.get('/both', async (request) => ({ tokens: await Promise.all(resources.map((resource) => request.accessToken({ resource }))) }))
      app.get<{ Querystring: { resource: string } }>('/one', async (request) => ({ token: await request.accessToken({ resource: request.query.resource }) }))
    }
  })
  const owner = (token: unknown) => server.whoHas(String(token))?.resource

  const browser = await loginAged(0)
  const both = await browser.get('/both')
  await check(both, { status: 200, cookie: 'set', tokenRequests: 2, told: ['refreshed', 'refreshed'] })
  t.strictSame([both.json.tokens].flat().map(owner), resources)
  await check(await browser.get('/both'), { status: 200 }, 'both are kept')

  const other = await loginAged(0)
  const answers = await Promise.all(resources.map((resource) => other.clone().get(`/one?resource=${encodeURIComponent(resource)}`)))
  t.strictSame(answers.map(({ json }) => owner(json.token)), resources, 'of two requests, too')
  await check(await other.get('/both'), { status: 200, cookie: 'set', tokenRequests: 2, told: ['refreshed', 'refreshed'] }, 'the one that comes later knows both')

  const spent = server.requestsTo('token').map(({ params }) => params.refresh_token)
  t.equal(new Set(spent).size, 4, 'no refresh token is presented twice')
  t.ok(server.families.every(({ alive }) => alive))
})

test('two scopes wished for at once, and the login\'s own token expired: three spends, each wish gets its own token', async (t) => {
  const { server, check, clock, save } = await startScenario(t, {
    routes: (app) => app.get('/scopes', { config: { tokens: false } }, async (request) => ({
      tokens: await Promise.all([{ scope: 'orders' }, { scope: 'bills' }, {}].map((wish) => request.accessToken(wish)))
    }))
  })
  const browser = await save(await server.issue({ scope: 'openid orders bills' }))
  clock.now += ages.expired

  const answer = await browser.get('/scopes')
  await check(answer, { status: 200, cookie: 'set', tokenRequests: 3, told: ['refreshed', 'refreshed', 'refreshed'] })
  t.strictSame([answer.json.tokens].flat().map((token) => server.whoHas(String(token))?.scope), ['orders', 'bills', 'openid orders bills'])
  t.equal(new Set(server.requestsTo('token').map(({ params }) => params.refresh_token)).size, 3)
})

test('a resource that the service does not know is refused, and the session serves on', async (t) => {
  const { check, loginAged } = await startScenario(t, {
    routes: (app) => app.get('/odd', async (request) => ({ token: await request.accessToken({ resource: 'https://odd.example' }) }))
  }, { resources: ['https://orders.example'] })
  const browser = await loginAged(0)

  await check(await browser.get('/odd'), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1, told: ['failed: refused'] })
  await check(await browser.get('/token'), { status: 200 })
})

test('three callers whose API rejected the same token are one refresh; one whose token is no longer the current one is none', async (t) => {
  const { server, check, loginAged } = await startScenario(t)
  const browser = await loginAged(0)
  const rejected = String((await browser.get('/token')).json.token)
  const late = browser.clone()

  const answers = await Promise.all([1, 2, 3].map(() => browser.clone().get('/renew', { rejected })))
  t.strictSame(answers.map(({ status }) => status), [200, 200, 200])
  const [token, ...others] = new Set(answers.map(({ json }) => json.token))
  t.not(token, rejected)
  t.strictSame(others, [])
  const again = await late.get('/renew', { rejected })
  await check(again, { ...corrected, tokenRequests: 1, told: ['refreshed'] }, 'one request of all')
  t.equal(again.json.token, token)
  t.equal(server.tokenRequests, 1)
})

test('forceRenewal: true is a new token in any case, and one for all who wish for it at once', async (t) => {
  const { server, check, atOnce, loginAged } = await startScenario(t)
  const browser = await loginAged(0)
  const before = (await browser.get('/token')).json.token

  const [first, ...others] = await atOnce(server.hold(), [1, 2, 3].map(() => () => browser.clone().get('/renew')))
  t.not(first?.json.token, before)
  for (const other of others) t.equal(other.json.token, first?.json.token)
  await check(await browser.get('/renew'), { status: 200, cookie: 'set', tokenRequests: 2, told: ['refreshed', 'refreshed'] }, 'and again')
})

test('a token that an API has rejected is not given again, even where no other is to be had', async (t) => {
  const { server, check, loginAged } = await startScenario(t)
  const browser = await loginAged(0)
  const rejected = String((await browser.get('/token')).json.token)
  server.fault(faults.empty(500))

  await check(await browser.get('/renew', { rejected }), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 1, tokenRequests: 1, told: ['failed: unavailable'] })
  await check(await browser.get('/token'), { status: 200 }, 'who has not heard of that gets it')
})

test('a token of 10 s is refreshed once in half of its life, and not on every request', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t, {}, { expiresIn: 10 })
  const browser = await loginAged(0)
  for (let second = 1; second <= 30; second++) {
    clock.now += 1
    t.equal((await browser.get('/token')).status, 200)
  }
  t.equal(server.tokenRequests, 6)
  await check(await browser.get('/token'), { status: 200, tokenRequests: 6, told: Array(6).fill('refreshed') })
})

test('the clock jumps by an hour, back and forth: one refresh each, no storm, and no token that never ends', async (t) => {
  const { server, loginAged, clock } = await startScenario(t)
  server.settings.clock = () => Date.now() / 1000
  const browser = await loginAged(0)
  let expected = 0
  for (const jump of [-3600, 3600, 3600, -3600, -3600]) {
    clock.now += jump
    const answers = await Promise.all(Array.from({ length: 10 }, () => browser.clone().get('/token')))
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
    for (let request = 0; request < 5; request++) t.equal((await browser.get('/token')).status, 200)
    t.equal(server.tokenRequests, ++expected, `after a jump of ${jump} s`)
  }
  clock.now += ages.inWindow
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.tokenRequests, expected + 1, 'and its time goes on')
  t.ok(server.families.every(({ alive }) => alive))
})

test('R46 R47 a refreshed id_token is taken over, a missing one is kept, and one of another subject ends the session', async (t) => {
  const { server, check, loginAged } = await startScenario(t)
  const browser = await loginAged(0)
  const first = (await browser.get('/tokens')).json.idToken
  server.settings.idTokenClaims = { acr: 'renewed' }
  await check(await browser.get('/renew'), refreshed)
  const second = (await browser.get('/tokens')).json.idToken
  t.not(second, first)
  server.fault(faults.without('id_token'))
  await check(await browser.get('/renew'), refreshed)
  t.equal((await browser.get('/tokens')).json.idToken, second)

  const revoked = server.hold({ endpoint: 'revocation' })
  server.fault(faults.idToken({ sub: 'mallory' }))
  await check(await browser.get('/renew'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', cookie: 'cleared', tokenRequests: 1, told: ['failed: wrongIdentity, the end', 'ended: refreshTokenDead'] })
  await revoked.arrived()
  revoked.release()
  t.equal(server.requestsTo('revocation')[0]?.params.token, server.families[0]?.newestRefreshToken)
})

for (const [what, fault, most] of [['answers 503 to everybody', faults.empty(503), 40], ['is down behind its gateway', faults.empty(502), 10]] as const) {
  test(`the service ${what} for 10 s: 1,000 requests of 10 sessions make at most ${most} token requests, and afterwards nobody logs in again`, async (t) => {
    const { server, loginAged, clock } = await startScenario(t)
    const browsers = await Promise.all(Array.from({ length: 10 }, () => loginAged(0)))
    clock.now += ages.expired
    server.fault(fault, Infinity)
    for (let request = 0; request < 100; request++) {
      const answers = await Promise.all(browsers.map((browser) => browser.get('/token')))
      t.strictSame(new Set(answers.map(({ status }) => status)), new Set([503]))
      t.ok(answers.every(({ headers }) => Number(headers.get('retry-after')) >= 1))
      clock.now += 0.1
    }
    t.ok(server.tokenRequests <= most, `${server.tokenRequests} token requests`)

    server.clearFaults()
    clock.now += 30
    const answers = await Promise.all(browsers.map((browser) => browser.get('/token')))
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]), 'and all go on')
  })
}
