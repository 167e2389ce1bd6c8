/* What sockets show badly of pauses: how long they are, to the second. */
import { test } from 'tap'
import { RefreshFailure } from '../../lib/refresh/failure.ts'
import { Pauses } from '../../lib/refresh/pauses.ts'
import { retryAfterOf } from '../support/retry-after.ts'

const GRACE = 30

function setUp () {
  const time = { now: 1000, grants: 0 }
  return { time, pauses: new Pauses({ gracePeriod: GRACE, clock: () => time.now, grants: () => time.grants }) }
}

const pauseOf = (pauses: Pauses, key = 'a') => retryAfterOf(() => pauses.enter(key))

test('the pause of one that has trouble doubles from 1 s to 30 s, and is nobody else\'s; a success ends it', async (t) => {
  const { time, pauses } = setUp()
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    pauses.failed('a', new RefreshFailure(seconds > 5 ? 'ambiguous' : 'unavailable'))
    t.equal(await pauseOf(pauses), seconds)
    pauses.enter('b')
    time.now += seconds
    pauses.enter('a')
  }
  pauses.succeeded('a')
  pauses.failed('a', new RefreshFailure('unavailable'))
  t.equal(await pauseOf(pauses), 1)
})

test('Retry-After is honoured where it is longer, for five minutes at most', async (t) => {
  const { pauses } = setUp()
  pauses.failed('a', new RefreshFailure('unavailable', { retryAfter: 20 }))
  t.equal(await pauseOf(pauses), 20)
  pauses.failed('a', new RefreshFailure('unavailable', { retryAfter: 1e9 }))
  t.equal(await pauseOf(pauses), 300)
})

test('the clock is set back during a pause: nobody is locked out', (t) => {
  const { time, pauses } = setUp()
  pauses.failed('a', new RefreshFailure('unavailable', { retryAfter: 300 }))
  time.now -= 3600
  t.doesNotThrow(() => { pauses.enter('a') })
  t.end()
})

test('what is refused rests for 5 s, and is dead when it is refused again after the grace period and others got tokens meanwhile', async (t) => {
  const { time, pauses } = setUp()
  const rejected = new RefreshFailure('rejected')
  t.equal(pauses.failed('a', rejected, true).class, 'rejected')
  t.equal(await pauseOf(pauses), 5)
  time.now += 5
  time.grants++
  t.equal(pauses.failed('a', rejected, true).class, 'rejected', 'within the grace period')
  t.notOk(pauses.isOver('a'))
  time.now += GRACE
  t.equal(pauses.failed('a', rejected, true).class, 'ended')
  t.throws(() => { pauses.enter('a') }, new RefreshFailure('ended', { wasAsked: false }))
  t.ok(pauses.isOver('a'))
  t.ok(pauses.isFirstToTell('a'))
  t.notOk(pauses.isFirstToTell('a'))
  t.notOk(pauses.isFirstToTell('unknown'))
})

test('what is refused to everybody, or is no refresh token, is never dead', (t) => {
  const { time, pauses } = setUp()
  const rejected = new RefreshFailure('rejected')
  for (let round = 0; round < 3; round++) {
    t.equal(pauses.failed('everybody', rejected, true).class, 'rejected')
    time.now += GRACE
  }
  for (let round = 0; round < 3; round++) {
    t.equal(pauses.failed('a wish', rejected).class, 'rejected')
    time.now += GRACE
    time.grants++
  }
  t.end()
})

test('a dead refresh token is never let in again; its session is over after the grace period, of a wrong identity at once', (t) => {
  const { time, pauses } = setUp()
  pauses.failed('dead', new RefreshFailure('ended'))
  pauses.failed('wrong', new RefreshFailure('wrongIdentity'))
  t.notOk(pauses.isOver('dead'))
  t.ok(pauses.isOver('wrong'))
  t.notOk(pauses.isOver('unknown'))
  time.now += GRACE
  t.ok(pauses.isOver('dead'))
  time.now += 3000
  for (const token of ['dead', 'wrong']) t.throws(() => { pauses.enter(token) })
  time.now += 3601
  for (const token of ['dead', 'wrong']) pauses.enter(token)
  t.end()
})
