/* What sockets show badly of the pauses of a service: how long they are, and how many probes they take. */
import { test } from 'tap'
import { ServiceHealth } from '../../lib/refresh/service-health.ts'
import { retryAfterOf } from '../support/retry-after.ts'

function setUp () {
  const time = { now: 1000, probes: 0, isAlive: false }
  const probe = async () => { time.probes++; return time.isAlive }
  return { time, health: new ServiceHealth(probe, () => time.now) }
}

test('a service that is well is not probed, and one that is suspected is, once for all who ask', async (t) => {
  const { time, health } = setUp()
  await health.enter(false)
  t.equal(time.probes, 0)
  time.isAlive = true
  await Promise.all([health.suspect('a'), health.suspect('b'), health.enter(false)])
  t.equal(time.probes, 1)
  t.ok(health.isWell)
})

test('the pause after a probe that fails doubles from 1 s to 30 s, less up to half of it; nobody waits meanwhile', async (t) => {
  const { time, health } = setUp()
  const cause = new Error('no connection')
  await health.suspect(cause)
  for (const longest of [1, 2, 4, 8, 16, 30, 30]) {
    const left = await retryAfterOf(() => health.enter(false))
    t.ok(left >= longest / 2 && left <= longest, `${left} of ${longest}`)
    await t.rejects(health.enter(false), { class: 'unavailable', cause })
    await health.suspect(cause)
    time.now += longest
    await t.rejects(Promise.all([health.enter(false), health.enter(false)]), { class: 'unavailable', cause })
  }
  t.equal(time.probes, 8, 'one a pause')
  time.now += 30
  time.isAlive = true
  await health.enter(false)
  t.ok(health.isWell)
})

test('a token that is given while the service is probed in vain says that it is well', async (t) => {
  const { time, health } = setUp()
  const probing = health.suspect(undefined)
  t.notOk(health.isWell)
  health.succeeded()
  await probing
  t.ok(health.isWell)
  t.equal(time.probes, 1)
})

test('the clock is set back during an outage: nobody is locked out', async (t) => {
  const { time, health } = setUp()
  await health.suspect(undefined)
  time.now -= 3600
  time.isAlive = true
  await health.enter(false)
  t.ok(health.isWell)
})

test('where five probes have failed, what risks nothing may find out', async (t) => {
  const { time, health } = setUp()
  const cause = new Error('no answer')
  await health.suspect(cause)
  for (let probe = 2; probe < 5; probe++) {
    time.now += 30
    await t.rejects(health.enter(true), { class: 'unavailable', cause })
  }
  time.now += 30
  await t.rejects(health.enter(false), { class: 'unavailable', cause })
  await t.rejects(health.enter(true), { class: 'unavailable', cause }, 'not during the pause')
  time.now += 30
  await health.enter(true)
  t.equal(time.probes, 6)
  health.succeeded()
  t.ok(health.isWell)
})
