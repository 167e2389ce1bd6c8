/* What sockets show badly of lib/refresh: bounds, times, tombstones. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { memoryRefreshCoordinator, type RefreshableTokenSet } from '../../lib/refresh/coordinator.ts'
import { classifyFailure, errorOf, RefreshFailure } from '../../lib/refresh/failure.ts'

const GRACE = 30
const DAY = 86_400

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** A coordinator with its clock. */
function setUp () {
  const time = { now: 1_700_000_000 }
  const clock = () => time.now
  return { time, clock, coordinator: memoryRefreshCoordinator(GRACE, DAY, clock) }
}

/** A token set of a session, whose refresh token is named after both unless it says otherwise. */
function tokenSet (sessionId: string, generation = 0, refreshToken = `${sessionId} ${generation}`): RefreshableTokenSet {
  return { sessionId, generation, startedAt: 1_700_000_000, accessTokens: [], refreshToken }
}

const [first, second, third] = [tokenSet('alice'), tokenSet('alice', 1), tokenSet('alice', 2)] as const

/** The spend of a refresh token that must not take place. */
const never = () => Promise.reject(new Error('it is spent twice'))

test('one spend runs for all who ask, and its successor is for all of them', async (t) => {
  const { coordinator } = setUp()
  let spends = 0
  const spend = async () => { spends++; return second }
  const both = [coordinator.once(first, spend), coordinator.once(first, spend)]
  t.ok(coordinator.isSuperseded(first), 'while it runs')
  t.equal(coordinator.successorOf(first), undefined)
  t.strictSame(await Promise.all(both), [second, second])
  t.equal(spends, 1)
  t.equal(await coordinator.once(first, never), second, 'and afterwards')
  t.ok(coordinator.isSuperseded(first))
  t.notOk(coordinator.isSuperseded(second))
})

test('a spend that fails is told to all who waited, and the next one may try', async (t) => {
  const { coordinator } = setUp()
  const fail = () => Promise.reject(new Error('refused'))
  for (const each of [coordinator.once(first, fail), coordinator.once(first, never)]) await t.rejects(each, { message: 'refused' })
  t.notOk(coordinator.isSuperseded(first))
  t.equal(await coordinator.once(first, async () => second), second)
})

test('the chain of successors is followed to its end', async (t) => {
  const { coordinator } = setUp()
  await coordinator.once(first, async () => second)
  await coordinator.once(second, async () => third)
  t.equal(coordinator.successorOf(first), third)
  t.equal(coordinator.successorOf(second), third)
  t.equal(coordinator.successorOf(third), undefined)
  t.equal(coordinator.successorOf({ ...first, sessionId: 'bob', refreshToken: 'bob 0' }), undefined)
})

test('a successor is remembered for the inactivity duration, and for the grace period from when it has come back', async (t) => {
  const { time, coordinator } = setUp()
  await coordinator.once(first, async () => second)
  time.now += DAY - 1
  t.equal(coordinator.successorOf(first), second)
  coordinator.arrived(second)
  time.now += GRACE - 1
  t.equal(coordinator.successorOf(first), second)
  coordinator.arrived(second)
  time.now += 2
  t.equal(coordinator.successorOf(first), undefined, 'it came back only once: another time does not count')

  await coordinator.once(second, async () => third)
  time.now += DAY + 1
  t.equal(coordinator.successorOf(second), undefined)
})

test('the last of a chain comes back: all that came before it is forgotten after the grace period', async (t) => {
  const { time, coordinator } = setUp()
  await coordinator.once(first, async () => second)
  await coordinator.once(second, async () => third)
  coordinator.arrived(third)
  time.now += GRACE + 1
  t.equal(coordinator.successorOf(first), undefined)
  t.equal(coordinator.successorOf(second), undefined)
})

test('a middle one comes back: the newest is kept for it, and what came before it is forgotten', async (t) => {
  const { time, coordinator } = setUp()
  await coordinator.once(first, async () => second)
  await coordinator.once(second, async () => third)
  coordinator.arrived(second)
  time.now += GRACE + 1
  t.equal(coordinator.successorOf(first), undefined)
  t.equal(coordinator.successorOf(second), third)
})

test('a service without rotation answers with the same refresh token: the generation tells what came after what', async (t) => {
  const { coordinator } = setUp()
  const sets = [0, 1, 2].map((generation) => tokenSet('alice', generation, 'the same'))
  const [zero = first, one = first, two = first] = sets
  await coordinator.once(zero, async () => one)
  t.equal(coordinator.successorOf(zero), one)
  t.equal(coordinator.successorOf(one), undefined)
  coordinator.arrived(one)
  t.equal(await coordinator.once(one, async () => two), two)
  t.equal(coordinator.successorOf(zero), two)
  t.equal(await coordinator.once(zero, never), two)
})

test('a service that answers without a refresh token ends the chain', async (t) => {
  const { coordinator } = setUp()
  const { refreshToken: _, ...last } = second
  await coordinator.once(first, async () => last)
  t.equal(coordinator.successorOf(first), last)
  t.equal(coordinator.successorOf(last), undefined)
  t.notOk(coordinator.isSuperseded(last))
  coordinator.arrived(last)
})

test('a tombstone lies for the inactivity duration: longer than a refresh is in flight, and than a successor is remembered', (t) => {
  const { time, coordinator } = setUp()
  coordinator.end('alice')
  time.now += DAY - 1
  t.ok(coordinator.hasEnded('alice'))
  t.notOk(coordinator.hasEnded('bob'))
  time.now += 2
  t.notOk(coordinator.hasEnded('alice'))
  t.end()
})

test('what is remembered is bounded in bytes: the oldest goes first', async (t) => {
  const { coordinator } = setUp()
  const large = 'x'.repeat(1_048_576)
  for (let session = 0; session < 80; session++) {
    await coordinator.once(tokenSet(String(session)), async () => ({ ...tokenSet(String(session), 1), idToken: large }))
  }
  t.equal(coordinator.successorOf(tokenSet('0')), undefined)
  t.equal(coordinator.successorOf(tokenSet('79'))?.generation, 1)
  for (let session = 0; session < 300_000; session++) coordinator.end(`session ${session} ${'x'.repeat(24)}`)
  t.notOk(coordinator.hasEnded(`session 0 ${'x'.repeat(24)}`))
  t.ok(coordinator.hasEnded(`session 299999 ${'x'.repeat(24)}`))
})

test('what is stale is swept as new memories come: nothing of it is left, and no timer is started for it', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const { time, coordinator } = setUp()
  const successors: Array<WeakRef<RefreshableTokenSet>> = []
  const left = async () => {
    await new Promise(setImmediate)
    collectGarbage()
    return successors.filter((successor) => successor.deref() !== undefined).length
  }
  for (let session = 0; session < 1000; session++) {
    const successor = tokenSet(String(session), 1)
    successors.push(new WeakRef(successor))
    await coordinator.once(tokenSet(String(session)), async () => successor)
    coordinator.arrived(successor)
  }
  coordinator.end('alice')
  t.equal(timers(), before)
  t.equal(await left(), 1000)
  time.now += GRACE + 1
  await coordinator.once(first, async () => second)
  t.ok(await left() <= 1, 'but for the last one, which the loop may still hold')
})

test('an error that nobody foresaw is an answer that cannot be used, and takes no session away', (t) => {
  const failure = classifyFailure(new TypeError('undefined is not a function'))
  t.equal(failure.class, 'badResponse')
  t.notOk(failure.endsSession)
  t.match(errorOf(failure), { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', statusCode: 502 })
  t.equal(new RefreshFailure('ended', { cause: 'a text' }).message, 'ended')
  t.end()
})
