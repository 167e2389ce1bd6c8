/* What sockets show badly of lib/refresh: bounds, times, tombstones, and the back-off to the second. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { ServiceBackOff, TokenBackOff } from '../../lib/refresh/back-off.ts'
import { memoryRefreshCoordinator, type RefreshableTokenSet } from '../../lib/refresh/coordinator.ts'
import { classifyFailure, errorOf, RefreshFailure } from '../../lib/refresh/failure.ts'

const GRACE = 30

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** A coordinator with its clock. */
function setUp () {
  const time = { now: 1_700_000_000 }
  const clock = () => time.now
  return { time, clock, coordinator: memoryRefreshCoordinator(GRACE, clock) }
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

test('a successor is remembered for an hour, and for the grace period from when it has come back', async (t) => {
  const { time, coordinator } = setUp()
  await coordinator.once(first, async () => second)
  time.now += 3599
  t.equal(coordinator.successorOf(first), second)
  coordinator.arrived(second)
  time.now += GRACE - 1
  t.equal(coordinator.successorOf(first), second)
  coordinator.arrived(second)
  time.now += 2
  t.equal(coordinator.successorOf(first), undefined, 'it came back only once: another time does not count')

  await coordinator.once(second, async () => third)
  time.now += 3601
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

test('a tombstone lies for an hour: longer than a refresh is in flight, and than a successor is remembered', (t) => {
  const { time, coordinator } = setUp()
  coordinator.end('alice')
  time.now += 3599
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

test('the service is down for 10 s: 1,000 requests are at most 20 tries, one at a time, and then it is back', (t) => {
  const time = { now: 1000 }
  const backOff = new ServiceBackOff(() => time.now)
  let tries = 0
  for (let request = 0; request < 1000; request++) {
    time.now += 0.01
    try {
      backOff.enter()
    } catch (error) {
      t.match(error, { class: 'unavailable', retryAfter: Number })
      continue
    }
    tries++
    backOff.failed()
  }
  t.ok(tries > 3 && tries <= 20, `${tries} tries`)

  time.now += 30
  backOff.enter()
  t.ok(retryAfterOf(() => { backOff.enter() }) > 0, 'half open: one finds out, the others do not wait')
  backOff.answered()
  for (let request = 0; request < 10; request++) backOff.enter()
  t.end()
})

test('the pause after an outage doubles from 1 s to 30 s, less up to half of it', (t) => {
  const time = { now: 1000 }
  const backOff = new ServiceBackOff(() => time.now)
  for (const longest of [1, 2, 4, 8, 16, 30, 30, 30]) {
    backOff.enter()
    backOff.failed()
    backOff.failed()
    const left = retryAfterOf(() => { backOff.enter() })
    t.ok(left >= longest / 2 && left <= longest, `${left} of ${longest}`)
    time.now += longest
  }
  t.end()
})

test('Retry-After is honoured where it is longer, for five minutes at most', (t) => {
  const time = { now: 1000 }
  const backOff = new ServiceBackOff(() => time.now)
  backOff.failed(20)
  t.equal(retryAfterOf(() => { backOff.enter() }), 20)
  backOff.failed(1e9)
  t.equal(retryAfterOf(() => { backOff.enter() }), 300)
  t.end()
})

test('the clock is set back during an outage: nobody is locked out', (t) => {
  const time = { now: 10_000 }
  const backOff = new ServiceBackOff(() => time.now)
  backOff.failed(300)
  time.now -= 3600
  t.doesNotThrow(() => { backOff.enter() })
  t.end()
})

test('a refused refresh token rests for 5 s, and is dead when it is refused again without a reason after the grace period', (t) => {
  const time = { now: 1000 }
  const backOff = new TokenBackOff(GRACE, () => time.now)
  const rejected = new RefreshFailure('rejected')
  backOff.enter('a')
  t.equal(backOff.failed('a', rejected).class, 'rejected')
  t.equal(retryAfterOf(() => { backOff.enter('a') }), 5)
  backOff.enter('b')
  time.now += 5
  backOff.enter('a')
  t.equal(backOff.failed('a', rejected).class, 'rejected', 'within the grace period')
  t.notOk(backOff.isOver('a'))
  time.now += GRACE
  backOff.enter('a')
  t.equal(backOff.failed('a', rejected).class, 'ended')
  t.throws(() => { backOff.enter('a') }, new RefreshFailure('ended'))
  t.ok(backOff.isOver('a'))
  t.end()
})

test('a dead refresh token is never let in again; its session is over after the grace period, of a wrong identity at once', (t) => {
  const time = { now: 1000 }
  const backOff = new TokenBackOff(GRACE, () => time.now)
  backOff.failed('dead', new RefreshFailure('ended'))
  backOff.failed('wrong', new RefreshFailure('wrongIdentity'))
  t.notOk(backOff.isOver('dead'))
  t.ok(backOff.isOver('wrong'))
  t.notOk(backOff.isOver('unknown'))
  time.now += GRACE
  t.ok(backOff.isOver('dead'))
  time.now += 3000
  for (const token of ['dead', 'wrong']) t.throws(() => { backOff.enter(token) })
  time.now += 3601
  for (const token of ['dead', 'wrong']) backOff.enter(token)
  t.end()
})

test('an error that nobody foresaw is an answer that cannot be used, and takes no session away', (t) => {
  const failure = classifyFailure(new TypeError('undefined is not a function'))
  t.equal(failure.class, 'badResponse')
  t.notOk(failure.endsSession)
  t.match(errorOf(failure), { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', statusCode: 502 })
  t.equal(new RefreshFailure('ended', { cause: 'a text' }).message, 'ended')
  t.end()
})

/** The pause that an entrance throws; fails where it lets one in. */
function retryAfterOf (enter: () => void): number {
  try {
    enter()
  } catch (error) {
    if (error instanceof RefreshFailure && error.retryAfter !== undefined) return error.retryAfter
    throw error
  }
  throw new Error('nobody is kept waiting')
}
