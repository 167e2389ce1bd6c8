/* Sessions without a request: app.tokenSessions, over a store on Redis. */
import t, { type Test } from 'tap'
import type { SessionEndedEvent } from '../../lib/index.ts'
import { redisRefreshCoordinator, redisTokenStore } from '../../lib/redis.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Browser } from '../support/browser.ts'
import { logIn, type LoginApp, type LoginAppOptions, startLoginApp } from '../support/login-flow.ts'
import { connect, startRedis, type TestRedis, whyNotRedis } from '../support/redis-server.ts'
import { assertNoSecrets } from '../support/scenario.ts'

const skip = whyNotRedis()
t.setTimeout(300_000)

interface SessionsApp extends LoginApp {
  readonly ended: SessionEndedEvent[]
  /** Logs in, and says which session that is, here and at the provider. */
  enter (user?: string): Promise<{ browser: Browser, sessionId: string, sid: string }>
}

async function start (t: Test, redis: TestRedis, options: LoginAppOptions = {}): Promise<SessionsApp> {
  const client = connect(t, redis)
  const ended: SessionEndedEvent[] = []
  const logins: string[] = []
  const app = await startLoginApp(t, {
    tokenStore: redisTokenStore({ redis: client, timeout: 2 }),
    coordinator: redisRefreshCoordinator({ redis: client, timeout: 2 }),
    onSessionEnded: (event) => { ended.push(event) },
    ...options,
    login: { onLogin: (_request, _reply, { sessionId }) => { logins.push(sessionId) } }
  })
  async function enter (user = 'alice') {
    app.server.settings.user = user
    const browser = app.browser.clone()
    browser.cookies.clear()
    await logIn(browser)
    return { browser, sessionId: logins.at(-1) ?? '', sid: app.server.families.at(-1)?.id ?? '' }
  }
  return { ...app, ended, enter }
}

t.test('sessions of one process', { skip }, async (t) => {
  const redis = await startRedis(t)
  const client = connect(t, redis)
  t.beforeEach(async () => { await client.flushall() })

  t.test('a job has the tokens of a user who has closed the browser, for as many access tokens as it takes, and until the session ends', async (t) => {
    const { app, server, clock, enter } = await start(t, redis, { session: { key: Buffer.alloc(32, 'k'), inactivityDuration: 4000 } })
    const { sessionId } = await enter()
    const session = await app.tokenSessions.get(sessionId)
    t.equal(session?.sessionId, sessionId)
    t.match(await session?.claims(), { sub: 'alice' })
    const tokens = new Set<string | undefined>()
    for (let hour = 0; hour < 10; hour++) {
      clock.now += 301
      tokens.add(await session?.accessToken())
    }
    t.equal(tokens.size, 10)
    t.equal(server.refreshes, 10)
    t.equal(server.whoHas([...tokens].at(-1) ?? '')?.sub, 'alice')
    clock.now += 1000
    t.equal(await app.tokenSessions.get(sessionId), null, 'a job is no use of the session by its user, who was last here 4010 seconds ago')
    await t.rejects(async () => await session?.accessToken(), { code: 'FST_TOKEN_UNAUTHENTICATED', statusCode: 401 })
    t.equal(await session?.claims(), null)
  })

  t.test('a job and the browser refresh one session once, and each has what the other has got', async (t) => {
    const { app, server, clock, enter } = await start(t, redis)
    const { browser, sessionId } = await enter()
    const session = await app.tokenSessions.get(sessionId)
    for (let generation = 1; generation <= 3; generation++) {
      clock.now += 301
      const all = await Promise.all([session?.accessToken(), browser.get('/token'), session?.accessToken(), browser.get('/token')])
      t.equal(new Set(all.map((each) => typeof each === 'object' ? each.json.token : each)).size, 1)
      t.equal(server.refreshes, generation)
    }
    const other = await session?.accessToken({ resource: 'https://orders.example.com' })
    t.ok(other)
    t.equal(server.refreshes, 4)
    t.equal(await session?.accessToken({ resource: 'https://orders.example.com' }), other, 'which is kept')
    t.equal(server.refreshes, 4)
  })

  t.test('a job exchanges the token of its user for one of another API', async (t) => {
    const { app, server, enter } = await start(t, redis)
    const { sessionId } = await enter()
    const session = await app.tokenSessions.get(sessionId)
    const exchanged = await session?.accessToken({ exchange: { resource: 'https://orders.example.com' } })
    t.match(server.whoHas(exchanged ?? ''), { sub: 'alice', resource: 'https://orders.example.com' })
    t.not(exchanged, await session?.accessToken())
  })

  t.test('a job proves with DPoP that it holds the key of the session', async (t) => {
    const { app, server, clock, enter } = await start(t, redis, { server: { dpop: true }, dpop: true })
    const { sessionId } = await enter()
    const session = await app.tokenSessions.get(sessionId)
    clock.now += 301
    server.settings.clock = () => clock.now
    const accessToken = await session?.accessToken() ?? ''
    const call = async (dpop = '') => (await fetch(`${server.issuer}/userinfo`, { headers: { authorization: `DPoP ${accessToken}`, dpop } })).status
    const htu = `${server.issuer}/userinfo`
    t.equal(await call(await session?.dpopProof({ htm: 'GET', htu, accessToken })), 200)
    t.equal(await call(await session?.dpopProof({ htm: 'GET', htu })), 200)
    t.equal(await call(await session?.dpopProof({ htm: 'POST', htu })), 401)
    await session?.end()
    await t.rejects(async () => await session?.dpopProof({ htm: 'GET', htu }), { code: 'FST_TOKEN_UNAUTHENTICATED' })
  })

  t.test('a session that nobody has, that has ended, or that is another registration\'s is null; a provider that is none is an error', async (t) => {
    const { app, enter } = await start(t, redis)
    const { browser, sessionId } = await enter()
    t.equal(await app.tokenSessions.get('nobody\'s'), null)
    await t.rejects(app.tokenSessions.get(sessionId, { provider: 'nobody' }), { code: 'FST_TOKEN_UNKNOWN_PROVIDER' })
    await browser.post('/auth/logout')
    t.equal(await app.tokenSessions.get(sessionId), null)
    t.strictSame(await app.tokenSessions.list({ sub: 'alice' }), [])
  })

  t.test('an admin sees the sessions of a user, the newest first, and ends one of them', async (t) => {
    const { app, clock, server, enter, ended } = await start(t, redis)
    const first = await enter('alice')
    clock.now += 60
    server.settings.clock = () => clock.now
    const second = await enter('alice')
    const ofBob = await enter('bob')
    const list = await app.tokenSessions.list({ sub: 'alice' })
    t.strictSame(list.map(({ sessionId }) => sessionId), [second.sessionId, first.sessionId])
    t.ok((list[0]?.startedAt ?? 0) >= (list[1]?.startedAt ?? 0) + 59)
    await list[1]?.end()
    t.strictSame((await Promise.all([first, second, ofBob].map(({ browser }) => browser.get('/token')))).map(({ status }) => status), [401, 200, 200])
    t.strictSame(ended, [{ provider: 'default', sessionId: first.sessionId, reason: 'ended' }])
    t.strictSame((await app.tokenSessions.list({ sub: 'alice' })).map(({ sessionId }) => sessionId), [second.sessionId])
  })

  t.test('all sessions of a user, of a session at the provider, or one, end at once, with their newest refresh tokens, and are told; who logs in again lives', async (t) => {
    const { app, server, clock, enter, ended, log } = await start(t, redis)
    const at = async (browser: Browser) => (await browser.get('/token')).status
    const [one, two, three, ofBob] = [await enter('alice'), await enter('alice'), await enter('alice'), await enter('bob')]
    clock.now += 301
    t.equal(await at(one.browser), 200)
    t.equal(await app.tokenSessions.end({ sid: three.sid }), 1)
    t.strictSame(await Promise.all([one, two, three].map(({ browser }) => at(browser))), [200, 200, 401])
    t.equal(await app.tokenSessions.end({ sessionId: two.sessionId }), 1)
    t.equal(await app.tokenSessions.end({ sub: 'alice' }), 1)
    t.strictSame(await Promise.all([one, two, three, ofBob].map(({ browser }) => at(browser))), [401, 401, 401, 200])
    t.strictSame(server.families.filter(({ alive }) => alive).map(({ sub }) => sub), ['bob'], 'the strict server has revoked what is newest')
    t.strictSame(ended.map(({ sessionId, reason }) => [sessionId, reason]), [three, two, one].map(({ sessionId }) => [sessionId, 'ended']))
    t.equal(await app.tokenSessions.end({ sub: 'alice' }), 0)
    t.equal(await at((await enter('alice')).browser), 200)
    assertNoSecrets(t, server, log)
  })

  t.test('a refresh under way brings no session back that was ended, and what it brings is revoked', async (t) => {
    const { app, server, clock, enter } = await start(t, redis)
    const { browser } = await enter()
    clock.now += 301
    const gate = server.hold()
    const refreshing = browser.get('/token')
    await gate.arrived()
    t.equal(await app.tokenSessions.end({ sub: 'alice' }), 1)
    gate.release()
    t.equal((await refreshing).status, 401)
    t.equal((await browser.get('/token')).status, 401)
    t.strictSame(await client.keys('tokens:session:*'), [])
    while (server.families.some(({ alive }) => alive)) await new Promise((resolve) => { setTimeout(resolve, 10) })
  })

  t.test('many sessions of a user end before the provider has revoked any, and of that few are under way at a time', async (t) => {
    const { app, server, save } = await start(t, redis)
    for (let count = 0; count < 12; count++) await save(await server.issue({ sub: 'alice' }))
    const waiting: Array<() => void> = []
    const answered = async () => await new Promise<void>((resolve) => { waiting.push(resolve) })
    server.fault({ alter: async (answer) => await answered().then(() => answer) }, Infinity, 'revocation')
    const ending = app.tokenSessions.end({ sub: 'alice' })
    while (waiting.length === 0) await new Promise(setImmediate)
    while ((await client.keys('tokens:session:*')).length > 0);
    let most = 0
    while (await Promise.race([ending, client.ping()]) === 'PONG') {
      most = Math.max(most, waiting.length)
      waiting.shift()?.()
    }
    t.equal(await ending, 12)
    t.ok(most <= 5)
    t.notOk(server.families.some(({ alive }) => alive))
  })

  t.test('a provider that revokes nothing keeps no session alive', async (t) => {
    const { app, server, enter } = await start(t, redis)
    const { browser } = await enter()
    server.fault(faults.answer(503), Infinity, 'revocation')
    t.equal(await app.tokenSessions.end({ sub: 'alice' }), 1)
    t.equal((await browser.get('/token')).status, 401)
  })

  t.test('where the store fails, ending throws, and ends what is left when it is called again', async (t) => {
    const { app, server, enter } = await start(t, redis)
    const { browser } = await enter()
    await client.call('ACL', 'SETUSER', 'default', '-del')
    await t.rejects(app.tokenSessions.end({ sub: 'alice' }), { code: 'FST_TOKEN_STORE_FAILED' })
    t.equal((await browser.get('/token')).status, 401, 'here it has ended')
    t.equal((await client.keys('tokens:session:*')).length, 1)
    await client.call('ACL', 'SETUSER', 'default', '+del')
    t.equal(await app.tokenSessions.end({ sub: 'alice' }), 0, 'of those that were alive')
    t.strictSame(await client.keys('tokens:session:*'), [])
    t.notOk(server.families.some(({ alive }) => alive))
  })

  t.test('a Redis that is full serves those who are logged in, whose refreshes are kept by the process; nobody can log in', async (t) => {
    const { browser: stranger, clock, server, enter } = await start(t, redis)
    const { browser } = await enter()
    await client.config('SET', 'maxmemory', '1')
    t.equal((await browser.get('/token')).status, 200)
    clock.now += 301
    const { status, json } = await browser.get('/token')
    t.equal(status, 200)
    t.equal((await logIn(stranger)).status, 503)
    t.equal((await browser.get('/token')).json.token, json.token)
    await client.config('SET', 'maxmemory', '0')
    t.equal((await browser.get('/token')).json.token, json.token)
    t.equal(server.refreshes, 1)
    t.equal((await logIn(stranger)).status, 303)
  })

  t.test('a query that is none is refused, and ends nobody', async (t) => {
    const { app, enter } = await start(t, redis)
    const { browser } = await enter()
    for (const query of [{}, { sub: '' }, { sub: undefined }, { sub: 'alice', sid: 'A' }, { email: 'alice' }, null, 'alice', { sub: ['alice'] }]) {
      await t.rejects(app.tokenSessions.end(query as never), { code: 'FST_TOKEN_INVALID_PARAMETERS' })
    }
    t.equal((await browser.get('/token')).status, 200)
  })

  t.test('a Redis that is gone is an error, and no session that is none', async (t) => {
    const own = await startRedis(t)
    const { app, enter } = await start(t, own)
    const { sessionId } = await enter()
    const session = await app.tokenSessions.get(sessionId)
    await own.stop()
    const failed = { code: 'FST_TOKEN_STORE_FAILED', statusCode: 503 }
    await t.rejects(app.tokenSessions.get(sessionId), failed)
    await t.rejects(app.tokenSessions.list({ sub: 'alice' }), failed)
    await t.rejects(app.tokenSessions.end({ sub: 'alice' }), failed)
    await t.rejects(async () => await session?.accessToken(), failed)
  })

  t.test('a store that finds sessions by their requests only says so, and what to do', async (t) => {
    const { app } = await startLoginApp(t)
    for (const ask of [() => app.tokenSessions.get('x'), () => app.tokenSessions.list({ sub: 'alice' }), () => app.tokenSessions.end({ sub: 'alice' })]) {
      await t.rejects(async () => { await ask() }, { code: 'FST_TOKEN_STORE_NO_DIRECTORY', message: /redisTokenStore/ })
    }
  })
})
