import { randomBytes } from 'node:crypto'
import { test, type Test } from 'tap'
import type { RefreshedEvent, RefreshFailedEvent, SessionEndedEvent, TokenSet, TokenStore } from '../../lib/index.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { everythingWithDpop } from '../support/authorization-server/settings.ts'
import type { Answer, Browser } from '../support/browser.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from '../support/start-app.ts'

/** Tokens live for 100 s, so the window opens 50 s before. */
const INSIDE_WINDOW = 60
const EXPIRED = 101

interface Scene extends TestApp {
  readonly server: AuthorizationServer
  readonly browser: Browser
  readonly events: Array<['refreshed', RefreshedEvent] | ['failed', RefreshFailedEvent] | ['ended', SessionEndedEvent]>
}

async function scene (t: Test, options: TestAppOptions = {}): Promise<Scene> {
  const server = await startAuthorizationServer({ expiresIn: 100 })
  t.teardown(() => server.close())
  const events: Scene['events'] = []
  const testApp = await startApp(t, server, {
    onRefreshed: (event) => events.push(['refreshed', event]),
    onRefreshFailed: (event) => events.push(['failed', event]),
    onSessionEnded: (event) => events.push(['ended', event]),
    ...options
  })
  const browser = await testApp.login()
  return { ...testApp, server, browser, events }
}

/** What became of the refresh, as the app was told: right after the outcome, and not before. */
async function outcome ({ events }: Scene) {
  await new Promise((resolve) => setImmediate(resolve))
  return events.map(([name, event]) => name === 'failed' && 'failure' in event ? `${name} ${event.failure}${event.sessionEnded ? ', ended' : ''}` : name)
}

function holdsNoSecret (t: Test, { log, server }: Scene, ...answers: Answer[]): void {
  const text = [...log, ...answers.filter(({ status }) => status !== 200).map((answer) => answer.text)].join('\n')
  const tokens = server.families.flatMap((family) => family.newestRefreshToken ?? [])
  for (const secret of [...tokens, sessionKey, server.settings.clientSecret, Buffer.from('web:a+secret').toString('base64')]) {
    t.notOk(text.includes(secret), 'no secret in a log or in an answer')
  }
}

const isUnchanged = (t: Test, answer: Answer) => t.strictSame(answer.setCookies, [], 'the session is unchanged')
const isCleared = (t: Test, answer: Answer) => t.match(answer.setCookies, [/^__Host-tokens=; Max-Age=0; Path=\/; HttpOnly; Secure; SameSite=Lax$/], 'the session is cleared')
const isStored = (t: Test, answer: Answer) => t.match(answer.setCookies, [/^__Host-tokens=[\w.-]{500,}; Max-Age=/], 'the session is stored')
const isRefused = (t: Test, answer: Answer, status: number, code: string) => t.strictSame([answer.status, answer.json.code], [status, code])

test('nothing stored: 401 FST_TOKEN_UNAUTHENTICATED, null if optional', async (t) => {
  const { browser, server } = await scene(t)
  browser.cookies.clear()
  const answer = await browser.get('/token')
  isRefused(t, answer, 401, 'FST_TOKEN_UNAUTHENTICATED')
  isUnchanged(t, answer)
  t.strictSame((await browser.get('/optional')).json, { token: null })
  t.equal(server.tokenRequests, 0)
})

test('F50 a cookie that does not open is left alone and logged at debug, and is a 401 but never a 500', async (t) => {
  const { browser, log } = await scene(t)
  browser.cookies.set('__Host-tokens', 'not.ours')
  const answer = await browser.clone().get('/token')
  isRefused(t, answer, 401, 'FST_TOKEN_UNAUTHENTICATED')
  isUnchanged(t, answer)
  t.ok(log.some((line) => line.includes('"level":20') && line.includes('left alone until a login or a logout')))
  t.strictSame((await browser.get('/optional')).json, { token: null })
})

test('valid beyond the window: the token, nobody is asked, no Set-Cookie', async (t) => {
  const { browser, server } = await scene(t)
  const answer = await browser.get('/token')
  t.equal(server.whoHas(String(answer.json.token))?.sub, 'alice')
  isUnchanged(t, answer)
  t.equal(server.tokenRequests, 0)
})

test('a successor is known: its token and the corrected cookie, nobody is asked', async (t) => {
  const { browser, clock, server } = await scene(t)
  clock.now += EXPIRED
  const late = browser.clone()
  const first = await browser.get('/token')
  const second = await late.get('/token')
  t.equal(second.json.token, first.json.token)
  t.strictSame(second.setCookies, first.setCookies)
  t.equal(server.tokenRequests, 1)
})

for (const [when, seconds] of [['inside the window', INSIDE_WINDOW], ['expired', EXPIRED]] as const) {
  test(`${when}, new tokens: the new one, stored before anybody gets it (R10 R11 R47)`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server } = all
    const before = (await browser.get('/token')).json.token
    clock.now += seconds
    server.fault(faults.without('scope', 'id_token'))
    const answer = await browser.get('/token')
    t.not(answer.json.token, before)
    isStored(t, answer)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.equal((await browser.get('/token')).json.token, answer.json.token)
    t.equal(server.tokenRequests, 1)
    t.strictSame(await outcome(all), ['refreshed'])
    const [, event] = all.events[0] ?? []
    t.match(event, { provider: 'default', requests: 1, tokens: { generation: 1, accessTokens: [{ scope: 'openid offline_access' }], idToken: String } })
  })

  test(`${when}, invalid_grant with whatever status below 500: the session is over after the grace period, onSessionEnded is told once, and no further request (R15 R16 R17 R43)`, async (t) => {
    for (const status of [400, 401, 403, 200]) {
      const all = await scene(t)
      const { browser, clock, server } = all
      clock.now += seconds
      server.fault(faults.oauthError('invalid_grant', status))
      const answer = await browser.get('/token')
      if (when === 'expired') {
        isRefused(t, answer, 401, 'FST_TOKEN_LOGIN_REQUIRED')
        t.strictSame((await browser.get('/optional')).json, { token: null })
      } else {
        t.equal(server.whoHas(String(answer.json.token))?.sub, 'alice', 'what is still good serves on: another process may have the successor')
      }
      isUnchanged(t, answer)
      t.equal(server.tokenRequests, 1)
      t.strictSame(await outcome(all), ['failed ended, ended'])
      clock.now += 30
      const copy = browser.clone()
      const later = await browser.get('/token')
      isRefused(t, later, 401, 'FST_TOKEN_LOGIN_REQUIRED')
      isCleared(t, later)
      isRefused(t, await copy.get('/token'), 401, 'FST_TOKEN_UNAUTHENTICATED')
      t.equal(server.tokenRequests, 1)
      t.strictSame(await outcome(all), ['failed ended, ended', 'ended'])
      holdsNoSecret(t, all, answer, later)
    }
  })
}

const failures = {
  'a reset connection': faults.resetBefore(),
  429: faults.retryAfter(429, 7),
  503: faults.retryAfter(503, 7),
  '500 with invalid_grant in it': faults.oauthError('invalid_grant', 500),
  invalid_client: faults.oauthError('invalid_client', 401),
  'an empty 400': faults.empty(400),
  HTML: faults.html(200),
  'a redirect': faults.redirect('http://127.0.0.1:1/', 301)
}

for (const [name, fault] of Object.entries(failures)) {
  test(`inside the window, ${name}: the token that is still valid, and the next try after a back-off`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server } = all
    clock.now += INSIDE_WINDOW
    server.fault(fault)
    for (let request = 0; request < 3; request++) {
      const answer = await browser.get('/token')
      t.equal(server.whoHas(String(answer.json.token))?.sub, 'alice')
      isUnchanged(t, answer)
    }
    t.equal(server.tokenRequests, 1)
    clock.now += 10
    isStored(t, await browser.get('/token'))
    t.equal(server.tokenRequests, 2)
    holdsNoSecret(t, all)
  })
}

for (const name of ['a reset connection', 429, 503, '500 with invalid_grant in it'] as const) {
  test(`expired, ${name}: 503 FST_TOKEN_SERVICE_UNAVAILABLE with Retry-After, and the session lives on (R18)`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server } = all
    clock.now += EXPIRED
    server.fault(failures[name])
    const answer = await browser.get('/token')
    isRefused(t, answer, 503, 'FST_TOKEN_SERVICE_UNAVAILABLE')
    t.match(answer.headers.get('retry-after'), name === 429 || name === 503 ? '7' : /^[1-5]$/)
    isUnchanged(t, answer)
    isRefused(t, await browser.get('/token'), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE')
    isRefused(t, await browser.get('/optional'), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE')
    t.equal(server.tokenRequests, 1, 'during the back-off nobody waits')
    clock.now += 10
    t.equal((await browser.get('/token')).status, 200)
    holdsNoSecret(t, all, answer)
  })
}

test('expired, connection refused: 503, and the session lives on', async (t) => {
  const all = await scene(t)
  const { browser, clock, server } = all
  clock.now += EXPIRED
  await server.refuseConnections()
  const answer = await browser.get('/token')
  isRefused(t, answer, 503, 'FST_TOKEN_SERVICE_UNAVAILABLE')
  isUnchanged(t, answer)
  await server.acceptConnections()
  clock.now += 2
  t.equal((await browser.get('/token')).status, 200)
  t.strictSame(await outcome(all), ['failed unavailable', 'refreshed'])
})

test('expired, no answer within the deadline: 503, and it is not sent again by the same refresh (R7 R19)', async (t) => {
  const all = await scene(t, { requestTimeout: 0.2 })
  const { browser, clock, server } = all
  clock.now += EXPIRED
  server.fault(faults.silence())
  isRefused(t, await browser.get('/token'), 503, 'FST_TOKEN_SERVICE_UNAVAILABLE')
  t.equal(server.tokenRequests, 1)
  t.strictSame(await outcome(all), ['failed ambiguous'])
})

for (const code of ['invalid_client', 'unsupported_grant_type', 404, 405] as const) {
  test(`expired, ${code}: 502 FST_TOKEN_SERVICE_REFUSED, logged at error, and the session is kept (R17)`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server, log } = all
    clock.now += EXPIRED
    server.fault(typeof code === 'number' ? faults.html(code) : faults.oauthError(code))
    const answer = await browser.get('/token')
    isRefused(t, answer, 502, 'FST_TOKEN_SERVICE_REFUSED')
    isUnchanged(t, answer)
    t.ok(log.some((line) => line.includes('"level":50') && line.includes('The token service refuses a refresh')))
    clock.now += 6
    t.equal((await browser.get('/token')).status, 200)
    holdsNoSecret(t, all, answer)
  })
}

const refusals = {
  'a 400 with no OAuth error in it': faults.empty(400),
  'a 401 with no OAuth error in it': faults.empty(401),
  'a 403 with no OAuth error in it': faults.empty(403),
  'invalid_request, as dex says of a spent token': faults.oauthError('invalid_request'),
  token_inactive: faults.oauthError('token_inactive', 401),
  'invalid_refresh_token in a 200': faults.oauthError('invalid_refresh_token', 200),
  unauthorized_client: faults.oauthError('unauthorized_client', 403),
  interaction_required: faults.oauthError('interaction_required'),
  'an error of its own': faults.oauthError('refresh_token_revoked', 418)
}

for (const [name, fault] of Object.entries(refusals)) {
  test(`F6 F7 expired, refused by ${name}: 401, logged at error and the session kept, until it is refused again after the grace period and the service has given others tokens`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server, log } = all
    const bob = await all.login({ sub: 'bob' })
    clock.now += EXPIRED
    server.fault(fault, 2)
    const answer = await browser.get('/token')
    isRefused(t, answer, 401, 'FST_TOKEN_LOGIN_REQUIRED')
    isUnchanged(t, answer)
    t.ok(log.some((line) => line.includes('"level":50') && line.includes('The token service refuses a refresh')))
    isRefused(t, await browser.get('/token'), 401, 'FST_TOKEN_LOGIN_REQUIRED')
    t.equal(server.tokenRequests, 1, 'not asked again at once')
    clock.now += 31
    const again = await browser.get('/token')
    isRefused(t, again, 401, 'FST_TOKEN_LOGIN_REQUIRED')
    isUnchanged(t, again)
    t.equal(server.tokenRequests, 2, 'refused again, but so might be everybody')

    t.equal((await bob.get('/token')).status, 200, 'the service gives others tokens')
    clock.now += 31
    server.fault(fault)
    const last = await browser.get('/token')
    isRefused(t, last, 401, 'FST_TOKEN_LOGIN_REQUIRED')
    isCleared(t, last)
    t.equal(server.tokenRequests, 4)
    t.strictSame(await outcome(all), ['failed rejected', 'failed rejected', 'refreshed', 'failed ended, ended', 'ended'])
    holdsNoSecret(t, all, answer, again, last)
  })
}

test('F6 a firewall that answers everybody with 403 ends nobody\'s session', async (t) => {
  const all = await scene(t)
  const { browser, clock, server } = all
  const bob = await all.login({ sub: 'bob' })
  clock.now += EXPIRED
  server.fault(faults.html(403), Infinity)
  for (let round = 0; round < 3; round++) {
    for (const each of [browser, bob]) {
      const answer = await each.get('/token')
      isRefused(t, answer, 401, 'FST_TOKEN_LOGIN_REQUIRED')
      isUnchanged(t, answer)
    }
    clock.now += 31
  }
  server.clearFaults()
  for (const each of [browser, bob]) t.equal((await each.get('/token')).status, 200)
})

test('expired, one refusal without an OAuth error and then new tokens: the session lives on', async (t) => {
  const { browser, clock, server } = await scene(t)
  clock.now += EXPIRED
  server.fault(faults.empty(400))
  t.equal((await browser.get('/token')).status, 401)
  clock.now += 6
  t.equal((await browser.get('/token')).status, 200)
})

test('a refusal without an OAuth error that was followed by new tokens counts no more: the next one is a first one', async (t) => {
  const { browser, clock, server } = await scene(t)
  server.settings.rotation = 'same'
  for (let round = 0; round < 2; round++) {
    clock.now += EXPIRED
    server.fault(faults.empty(403))
    const answer = await browser.get('/token')
    isRefused(t, answer, 401, 'FST_TOKEN_LOGIN_REQUIRED')
    isUnchanged(t, answer)
    clock.now += 6
    t.equal((await browser.get('/token')).status, 200)
  }
})

test('408 says nothing of the session, however often it comes', async (t) => {
  const { browser, clock, server } = await scene(t)
  clock.now += EXPIRED
  server.fault(faults.empty(408), 2)
  for (let round = 0; round < 2; round++) {
    const answer = await browser.get('/token')
    isRefused(t, answer, 503, 'FST_TOKEN_SERVICE_UNAVAILABLE')
    isUnchanged(t, answer)
    clock.now += 31
  }
  t.equal((await browser.get('/token')).status, 200)
})

test('a login that cannot be stored leaves the session that was there', async (t) => {
  const { app, browser, server } = await scene(t)
  const payload = { ...await server.issue({ scope: 'orders' }), access_token: randomBytes(5000).toString('hex') }
  const saved = await app.inject({ method: 'POST', url: '/save', payload, headers: { cookie: browser.header } })
  t.match(saved.json(), { code: 'FST_TOKEN_SESSION_TOO_LARGE', message: /access token 10000/ })
  t.equal((await browser.get('/token')).status, 200)
})

for (const [name, fault] of Object.entries({ HTML: faults.html(200), 'a redirect': faults.redirect('http://127.0.0.1:1/', 301), 'a text that is no JSON': faults.notJson() })) {
  test(`expired, 200 but ${name}: 502 FST_TOKEN_SERVICE_BAD_RESPONSE, and the session is unchanged`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server } = all
    clock.now += EXPIRED
    server.fault(fault)
    const answer = await browser.get('/token')
    isRefused(t, answer, 502, 'FST_TOKEN_SERVICE_BAD_RESPONSE')
    isUnchanged(t, answer)
    t.strictSame(await outcome(all), ['failed badResponse'])
    holdsNoSecret(t, all, answer)
  })
}

for (const [name, fault] of Object.entries({ 'without an access token': faults.without('access_token'), 'a token of another type (R8 R34)': faults.members({ token_type: everythingWithDpop ? 'Bearer' : 'DPoP' }), 'a token of an unknown type (R8)': faults.members({ token_type: 'mac' }) })) {
  test(`expired, an answer ${name}: 502, but the new refresh token in it is kept, since the old one is spent`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server } = all
    clock.now += EXPIRED
    server.fault(fault)
    const answer = await browser.get('/token')
    isRefused(t, answer, 502, 'FST_TOKEN_SERVICE_BAD_RESPONSE')
    isStored(t, answer)
    isRefused(t, await browser.get('/token'), 502, 'FST_TOKEN_SERVICE_BAD_RESPONSE')
    t.equal(server.tokenRequests, 1)
    clock.now += 6
    const later = await browser.get('/token')
    t.equal(server.whoHas(String(later.json.token))?.sub, 'alice', 'the family lives')
    t.equal(server.tokenRequests, 2)
    holdsNoSecret(t, all, answer)
  })
}

for (const claim of ['iss', 'sub', 'aud']) {
  test(`expired, an id_token of another ${claim}: 401, ended, and what was issued is revoked (R46)`, async (t) => {
    const all = await scene(t)
    const { browser, clock, server } = all
    clock.now += EXPIRED
    server.fault(faults.idToken({ [claim]: 'https://other.example' }))
    const answer = await browser.get('/token')
    isRefused(t, answer, 401, 'FST_TOKEN_LOGIN_REQUIRED')
    isCleared(t, answer)
    t.strictSame(await outcome(all), ['failed wrongIdentity, ended', 'ended'])
    await until(() => server.families.every((family) => !family.alive))
    t.equal(server.revocations, 1)
    holdsNoSecret(t, all, answer)
  })
}

for (const expiresIn of [0, -5, '0']) {
  test(`expires_in ${JSON.stringify(expiresIn)}: the token to those who waited, stored as expired, the next refresh after a back-off (R9)`, async (t) => {
    const { browser, clock, server } = await scene(t)
    clock.now += EXPIRED
    server.fault(faults.members({ expires_in: expiresIn }))
    const answers = await Promise.all([browser.clone(), browser.clone(), browser].map((one) => one.get('/token')))
    t.strictSame(answers.map(({ status }) => status), [200, 200, 200])
    t.equal((await browser.get('/token')).status, 503)
    t.equal(server.tokenRequests, 1)
    clock.now += 6
    t.equal((await browser.get('/token')).status, 200)
    t.equal(server.tokenRequests, 2)
  })
}

test('expired, no refresh token: 401 FST_TOKEN_LOGIN_REQUIRED, unchanged; inside the window the token serves', async (t) => {
  const { app, browser, clock, server } = await scene(t)
  const { refresh_token: _, ...tokens } = await server.issue()
  const saved = await app.inject({ method: 'POST', url: '/save', payload: tokens })
  browser.cookies.set('__Host-tokens', String(saved.cookies[0]?.value))
  clock.now += INSIDE_WINDOW
  t.equal((await browser.get('/token')).status, 200)
  clock.now += EXPIRED
  const answer = await browser.get('/token')
  isRefused(t, answer, 401, 'FST_TOKEN_LOGIN_REQUIRED')
  isUnchanged(t, answer)
  t.equal(server.tokenRequests, 0)
})

test('no expires_in: the exp of a JWT, else defaultExpiresIn, else valid until an API says 401, never the old expiry (R9)', async (t) => {
  const jwt = (exp: number) => ['e30', Buffer.from(JSON.stringify({ exp })).toString('base64url'), 'sig'].join('.')
  const next = async (options: TestAppOptions, member: Record<string, unknown>) => {
    let expiresAt
    const { browser, clock, server, events } = await scene(t, options)
    clock.now += EXPIRED
    server.fault(faults.members({ expires_in: undefined, ...member }))
    const at = clock.now
    await browser.get('/token')
    await new Promise((resolve) => setImmediate(resolve))
    for (const [, event] of events) if ('tokens' in event) expiresAt = event.tokens.accessTokens[0]?.expiresAt
    clock.now += 50_000
    await browser.get('/token')
    return { expiresIn: expiresAt === undefined ? undefined : expiresAt - at, requests: server.tokenRequests }
  }
  const exp = Math.floor(Date.now() / 1000) + 3600
  t.match((await next({}, { access_token: jwt(exp) })).expiresIn, Number)
  t.strictSame(await next({ defaultExpiresIn: 77 }, {}), { expiresIn: 77, requests: 2 })
  t.strictSame(await next({}, {}), { expiresIn: undefined, requests: 1 })
})

test('the store fails to read: 503 FST_TOKEN_STORE_FAILED with its cause, and a failed read is never a logout', async (t) => {
  let failing = false
  const stored = new Map<string, Awaited<ReturnType<TokenStore['get']>>>()
  const causes: unknown[] = []
  const { browser, server } = await scene(t, {
    before: (app) => {
      app.addHook('onError', async (_request, _reply, error) => { causes.push(error.cause) })
      app.decorate('tokenStore', {
        get: () => { if (failing) throw new Error('the database is down'); return stored.get('') ?? null },
        set: (_, tokens) => { stored.set('', tokens) },
        clear: () => { stored.clear() }
      } satisfies TokenStore)
    }
  })
  failing = true
  isRefused(t, await browser.get('/token'), 503, 'FST_TOKEN_STORE_FAILED')
  isRefused(t, await browser.get('/optional'), 503, 'FST_TOKEN_STORE_FAILED')
  t.match(causes, [{ message: 'the database is down' }, { message: 'the database is down' }])
  failing = false
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.tokenRequests, 0)
})

test('the store fails to write a successor: the request has its token, the memory carries it, a later request writes it', async (t) => {
  let failures = 0
  const stored = new Map<string, NonNullable<Awaited<ReturnType<TokenStore['get']>>>>()
  const { browser, clock, server, log } = await scene(t, {
    before: (app) => app.decorate('tokenStore', {
      get: async () => stored.get('') ?? null,
      set: async (_, tokens) => { if (failures-- > 0) throw new Error('the disk is full'); stored.set('', tokens) },
      clear: () => { stored.clear() }
    } satisfies TokenStore)
  })
  clock.now += EXPIRED
  failures = 1
  const first = await browser.get('/token')
  t.equal(first.status, 200)
  t.equal(stored.get('')?.generation, 0)
  t.ok(log.some((line) => line.includes('"level":50') && line.includes('a later request tries again')))
  t.equal((await browser.get('/token')).json.token, first.json.token)
  t.equal(stored.get('')?.generation, 1)
  t.equal(server.tokenRequests, 1)
})

test('a logout that crosses the write of a successor into a store on the server wins', async (t) => {
  const stored = new Map<string, TokenSet>()
  let reached = () => {}
  let release = () => {}
  const writing = new Promise<void>((resolve) => { reached = resolve })
  const released = new Promise<void>((resolve) => { release = resolve })
  const { browser, clock } = await scene(t, {
    before: (app) => app.decorate('tokenStore', {
      get: () => stored.get('') ?? null,
      set: async (_, tokens) => {
        if (tokens.generation > 0) { reached(); await released }
        stored.set('', tokens)
      },
      clear: () => { stored.clear() }
    }),
    routes: (app) => app.post('/clear', { config: { tokens: false } }, async (request) => { await request.tokens.clear(); return {} })
  })
  clock.now += EXPIRED
  const refreshing = browser.get('/token')
  await writing
  t.equal((await browser.post('/clear')).status, 200)
  release()
  await refreshing
  t.equal(stored.size, 0)
  t.equal((await browser.get('/token')).status, 401)
})

test('what the app does when it is told cannot break the outcome: a throw is logged', async (t) => {
  const { browser, clock, server, log } = await scene(t, {
    onRefreshed: () => { throw new Error('the app trips') },
    onRefreshFailed: async () => { throw new Error('and again') }
  })
  clock.now += EXPIRED
  t.equal((await browser.get('/token')).status, 200)
  clock.now += EXPIRED
  server.fault(faults.empty(400))
  t.equal((await browser.get('/token')).status, 401)
  await until(() => log.some((line) => line.includes('onRefreshFailed failed')))
  t.ok(log.some((line) => line.includes('onRefreshed failed') && line.includes('the app trips')))
})

test('a provider that nobody registered: 500 FST_TOKEN_UNKNOWN_PROVIDER, which names the ones there are', async (t) => {
  const { browser } = await scene(t, { routes: (app) => app.get('/github', (request) => request.accessToken({ provider: 'github' })) })
  const answer = await browser.get('/github')
  isRefused(t, answer, 500, 'FST_TOKEN_UNKNOWN_PROVIDER')
  t.match(answer.json.message, /github.*Registered: default/)
})

test('headers sent or a hijacked reply: nothing is spent with the cookie store, FST_TOKEN_HEADERS_SENT; a valid token serves', async (t) => {
  const codes: unknown[] = []
  const { browser, clock, server } = await scene(t, {
    refresh: 'manual',
    routes: (app) => app.get('/hijacked', async (request, reply) => {
      reply.hijack()
      codes.push(await request.accessToken().then(() => 'token', (error: { code: string }) => error.code))
      const { dpopKey, ...response } = await server.issue()
      codes.push(await request.tokens.save(response, { ...dpopKey && { dpopKey } }).then(() => 'saved', (error: { code: string }) => error.code))
      reply.raw.end('done')
    })
  })
  await browser.get('/hijacked')
  clock.now += EXPIRED
  await browser.get('/hijacked')
  t.strictSame(codes, ['token', 'FST_TOKEN_HEADERS_SENT', 'FST_TOKEN_HEADERS_SENT', 'FST_TOKEN_HEADERS_SENT'])
  t.equal(server.tokenRequests, 0)
})

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

test('R46 a session that had no id_token is none of a refreshed one for another audience', async (t) => {
  const all = await scene(t)
  const { id_token: _, ...tokens } = await all.server.issue()
  const browser = await all.save(tokens)
  all.clock.now += EXPIRED
  all.server.fault(faults.idToken({ aud: 'another' }))
  isRefused(t, await browser.get('/token'), 401, 'FST_TOKEN_LOGIN_REQUIRED')
})
