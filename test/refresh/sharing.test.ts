import t, { type Test } from 'tap'
import { Agent } from 'undici'
import type { Claim, SharedCoordinator, Spendable, SpendOutcome, Standing } from '../../lib/tokens/shared-coordinator.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { ages, startScenario } from '../support/scenario.ts'
import { startApp, type TestAppOptions } from '../support/start-app.ts'

/** The other processes, as a test wants them to be: they say what they are told to say, and note what they are told. */
class Others implements SharedCoordinator {
  /** What they say, one after the other and then always. A request asks twice, by the hook and by its handler. */
  claims: Claim[] = []
  claimed: Spendable[] = []
  turns: Array<'yours' | 'lost' | 'alone'> = []
  standing: Standing = { status: 'newest' }
  mayKeep = true
  /** What happens before an answer to `sending` is read. */
  beforeTurn = (): void => {}
  readonly settled: SpendOutcome[] = []
  readonly ended: string[] = []
  looks = 0
  tellEnded = (_id: string): void => {}
  readonly replaced: string[] = []
  tellReplaced = (_id: string): void => {}
  isClosed = false

  async claim (spendable: Spendable): Promise<Claim> {
    this.claimed.push(spendable)
    return (this.claims.length > 1 ? this.claims.shift() : this.claims[0]) ?? { status: 'yours', mayBeSent: false }
  }

  async sending (): Promise<'yours' | 'lost' | 'alone'> {
    this.beforeTurn()
    return (this.turns.length > 1 ? this.turns.shift() : this.turns[0]) ?? 'yours'
  }

  async settle (_spendable: Spendable, outcome: SpendOutcome): Promise<boolean> {
    this.settled.push(outcome)
    return this.mayKeep
  }

  async look (): Promise<Standing> {
    this.looks++
    return this.standing
  }

  async end (id: string): Promise<void> { this.ended.push(id) }
  onEnded (listener: (id: string) => void): void { this.tellEnded = listener }
  async replace (id: string): Promise<void> { this.replaced.push(id) }
  onReplaced (listener: (id: string) => void): void { this.tellReplaced = listener }
  async close (): Promise<void> { this.isClosed = true }
}

async function startShared (t: Test, options: TestAppOptions = {}) {
  const others = new Others()
  const scenario = await startScenario(t, { coordinator: () => others, ...options })
  return { ...scenario, others }
}

t.test('a refresh asks for its turn, and tells what came of it; the generation that has come back goes with it', async (t) => {
  const { loginAged, others, check } = await startShared(t)
  const browser = await loginAged(ages.expired)
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  t.match(others.claimed, [{ generation: 0, arrived: 0 }])
  t.match(others.settled, [{ successor: { generation: 1 } }])
  t.equal(others.looks, 0)
})

t.test('what another process has got is served and set as a cookie, without a token request', async (t) => {
  const { loginAged, others, check, server, clock } = await startShared(t)
  const browser = await loginAged(ages.expired)
  const twin = browser.clone()
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  const [outcome] = others.settled
  const content = outcome !== undefined && 'successor' in outcome ? outcome.successor.content : Buffer.alloc(0)

  const neighbours = new Others()
  neighbours.claims = [{ status: 'succeeded', content, isNewest: false }]
  const other = await startApp(t, server, { coordinator: () => neighbours })
  other.clock.now = clock.now
  const answer = await twin.through(other.origin).get('/token')
  t.equal(answer.status, 200)
  t.equal(answer.setCookies.length, 1)
  t.equal(server.tokenRequests, 1)
  t.equal(neighbours.looks, 1, 'whether it was spent itself')
})

for (const [status, code, statusCode] of [
  ['spent', 'FST_TOKEN_LOGIN_REQUIRED', 401],
  ['dead', 'FST_TOKEN_LOGIN_REQUIRED', 401],
  ['ended', 'FST_TOKEN_UNAUTHENTICATED', 401]
] as const) {
  t.test(`a refresh token that is ${status} for the others is not sent`, async (t) => {
    const { loginAged, others, check } = await startShared(t)
    const browser = await loginAged(ages.expired)
    others.claims = [{ status }, { status }]
    await check(await browser.get('/token'), { status: statusCode, code, tokenRequests: 0 })
  })
}

t.test('what does not open is as good as forgotten', async (t) => {
  const { loginAged, others, check } = await startShared(t)
  const browser = await loginAged(ages.expired)
  others.claims = [{ status: 'succeeded', content: Buffer.from('nonsense'), isNewest: true }]
  await check(await browser.get('/token'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 0 })
})

t.test('alone, a process serves a token that is good and spends nothing before its last ten seconds', async (t) => {
  const { loginAged, others, check, clock } = await startShared(t)
  const browser = await loginAged(ages.inWindow)
  others.turns = ['alone']
  await check(await browser.get('/token'), { status: 200 })
  t.ok(others.settled.length > 0, 'what was claimed is given back')
  t.ok(others.settled.every((outcome) => 'mayBeSent' in outcome && !outcome.mayBeSent))
  others.claims = [{ status: 'alone' }]
  await check(await browser.get('/token'), { status: 200 })
  clock.now += 45
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
})

t.test('whoever has lost its turn asks again, and sends nothing meanwhile', async (t) => {
  const { loginAged, others, check } = await startShared(t)
  const browser = await loginAged(ages.expired)
  others.turns = ['lost', 'yours']
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  t.equal(others.claimed.length, 2)
})

for (const [seconds, what, statuses] of [
  [9, 'a request may wait for a connection as long as a call can take', [200, 200]],
  [13, 'a process that was stopped sends nothing when its turn is over', [200, 503]]
] as const) {
  t.test(what, async (t) => {
    const agent = new Agent({ connections: 1 })
    t.teardown(() => agent.destroy())
    const calls = { begun: 0 }
    const backchannel = agent.compose((dispatch) => (options, handler) => {
      calls.begun++
      return dispatch(options, handler)
    })
    const { login, clock, server } = await startShared(t, { backchannel })
    const [first, second] = [await login(), await login()]
    clock.now += ages.expired
    calls.begun = 0
    const gate = server.hold()
    const refreshing = first.get('/renew')
    await gate.arrived()
    const behind = second.get('/renew')
    while (calls.begun < 2) await new Promise(setImmediate)
    const { now } = performance
    t.intercept(performance, 'now', { value: () => now.call(performance) + seconds * 1000 })
    gate.release()
    t.strictSame([(await refreshing).status, (await behind).status], statuses)
    t.equal(server.refreshes, statuses.filter((status) => status === 200).length)
  })
}

t.test('a process that was stopped before it reads that it is its turn sends nothing when that is over', async (t) => {
  const { login, clock, server, others } = await startShared(t)
  const browser = await login()
  clock.now += ages.expired
  const { now } = performance
  let stopped = 0
  t.intercept(performance, 'now', { value: () => now.call(performance) + stopped })
  others.beforeTurn = () => { stopped += 20_000 }
  t.equal((await browser.get('/renew')).status, 503)
  t.equal(server.tokenRequests, 0)
  t.strictSame(others.settled, [{ mayBeSent: false }], 'it is given back')
})

t.test('a refresh that fails is told to the others: dead, maybe spent, or not at all', async (t) => {
  const { loginAged, others, server, clock } = await startShared(t)
  for (const [fault, outcome] of [
    [faults.answer(503), { mayBeSent: false }],
    [faults.resetBefore(), { mayBeSent: true }],
    [faults.notJson(), { mayBeSent: true }],
    [faults.oauthError('invalid_grant'), { dead: true }]
  ] as const) {
    const browser = await loginAged(ages.expired)
    others.settled.splice(0)
    server.fault(fault)
    await browser.get('/token')
    t.strictSame(others.settled, [outcome])
    clock.now += 60
  }
})

t.test('a logout in another process wins over what a refresh has brought, which is revoked', async (t) => {
  const { loginAged, others, server } = await startShared(t)
  const browser = await loginAged(ages.expired)
  others.mayKeep = false
  const { status, setCookies } = await browser.get('/token')
  t.strictSame([status, setCookies.length], [401, 0])
  while (server.revocations === 0) await new Promise(setImmediate)
  t.equal(server.families.some(({ alive }) => alive), false)
})

t.test('a logout in another process is known as soon as it is told, and one here is told', async (t) => {
  const { login, others, server, app } = await startShared(t, { routes: (app) => { app.post('/revoke', async (request) => { await request.tokens.revoke(); return {} }) } })
  const [browser, second] = [await login(), await login()]
  const { json: { sessionId } } = await browser.get('/tokens')
  others.tellEnded(String(sessionId))
  t.equal((await browser.get('/token')).status, 401)
  t.equal((await second.post('/revoke')).status, 200)
  t.equal(new Set(others.ended).size, 1)
  t.ok(server.revocations > 0)
  await app.close()
  t.equal(others.isClosed, true)
})

t.test('a logout ends the session, and revokes what it has, where nobody can read what another process has made of it', async (t) => {
  const { login, others, server } = await startShared(t, { routes: (app) => { app.post('/revoke', async (request) => { await request.tokens.revoke(); return {} }) } })
  const browser = await login()
  others.standing = { status: 'succeeded', content: Buffer.from('of a later release'), isNewest: true }
  t.equal((await browser.post('/revoke')).status, 200)
  t.equal(others.ended.length, 1)
  t.equal(browser.cookies.size, 0)
  t.ok(server.revocations > 0)
})

t.test('a second login of the same person is told and heard: the session before is served for the grace period, and written no more', async (t) => {
  const { login, others, server, clock } = await startShared(t, {
    routes: (app) => { app.post('/again', async (request) => { await request.tokens.save(await server.issue()); return {} }) }
  })
  const browser = await login()
  const { json: { sessionId } } = await browser.get('/tokens')
  t.equal((await browser.post('/again')).status, 200)
  t.strictSame(others.replaced, [sessionId])

  const elsewhere = await login()
  others.tellReplaced(String((await elsewhere.get('/tokens')).json.sessionId))
  clock.now += 10
  const { status, setCookies } = await elsewhere.get('/renew')
  t.strictSame([status, setCookies], [200, []])
  others.tellReplaced(String((await elsewhere.get('/tokens')).json.sessionId))
  clock.now += 20
  t.equal((await elsewhere.get('/token')).status, 401)
})

t.test('the roll of the inactivity time asks first, and writes nothing that another process is changing', async (t) => {
  const { login, others, clock } = await startShared(t, { refreshBeforeExpiration: 0 })
  const rolled = async (standing: Standing) => {
    const browser = await login({ expiresIn: 600_000 })
    clock.now += 50_000
    others.standing = standing
    return (await browser.get('/token')).setCookies.length
  }
  t.equal(await rolled({ status: 'newest' }), 1)
  t.equal(await rolled({ status: 'alone' }), 1)
  t.equal(await rolled({ status: 'busy' }), 0)
  t.equal(await rolled({ status: 'ended' }), 0)
  t.equal(others.looks, 4)
})
