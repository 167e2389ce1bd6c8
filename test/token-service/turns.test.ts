import { test } from 'tap'
import { Turns } from '../../lib/token-service/turns.ts'
import { authorize, logIn, startLogin, startLoginApp } from '../support/login-flow.ts'

const forever = () => new Promise<never>(() => {})

test('F40 so many have their turn at one time, 100 wait in their order, and the next is sent away unsent', async (t) => {
  const turns = new Turns({ atOnce: 2, patience: 10, clock: () => 0 })
  const began: number[] = []
  const ends: Array<() => void> = []
  const all = Array.from({ length: 102 }, (_, index) => turns.take(() => {
    began.push(index)
    return new Promise<number>((resolve) => { ends.push(() => resolve(index)) })
  }))
  await t.rejects(turns.take(forever), { name: 'BackchannelError' })
  t.strictSame(began, [0, 1])
  for (let ended = 0; ended < 102; ended++) {
    ends[ended]?.()
    await all[ended]
    await new Promise(setImmediate)
    t.equal(began.length, Math.min(102, ended + 3))
  }
  t.strictSame(began, Array.from({ length: 102 }, (_, index) => index))
  t.equal(await turns.take(async () => 'free'), 'free')
})

test('F40 who has waited for longer than a request may take is sent away, and those behind have their turn', async (t) => {
  let now = 0
  const turns = new Turns({ atOnce: 1, patience: 10, clock: () => now })
  let fail = () => {}
  const first = turns.take(() => new Promise((_resolve, reject) => { fail = () => reject(new Error('no answer')) }))
  const second = turns.take(async () => 'too late')
  now = 5
  const third = turns.take(async () => 'in time')
  await new Promise(setImmediate)
  now = 11
  fail()
  t.match(await Promise.allSettled([first, second, third]), [
    { status: 'rejected', reason: { message: 'no answer' } },
    { status: 'rejected', reason: { name: 'BackchannelError', sent: false } },
    { status: 'fulfilled', value: 'in time' }
  ])
})

test('F40 logins and pushed requests take half of the connections, and refreshes go by', async (t) => {
  const { browser, server, clock } = await startLoginApp(t, { backchannel: { connections: 4 }, requestTimeout: 60, server: { expiresIn: 20 } })
  await logIn(browser)
  const logins = []
  for (let login = 0; login < 6; login++) {
    const other = browser.clone()
    other.cookies.clear()
    const callback = await authorize(await startLogin(other))
    logins.push({ other, callback })
  }
  server.forgetRequests()
  const gate = server.hold()
  const answers = Promise.all(logins.map(({ other, callback }) => other.get(callback)))
  await gate.arrived(2)
  clock.now += 21
  const refreshed = browser.get('/token')
  await gate.arrived(3)
  t.equal(gate.waiting, 3, 'two of six logins, and the refresh')
  gate.admit(2)
  t.equal((await refreshed).status, 200)
  gate.release()
  t.ok((await answers).every(({ status }) => status === 303))
})

test('F40 a login that finds too many is a 503 with Retry-After, and its reload logs in', async (t) => {
  const { browser, server } = await startLoginApp(t, { backchannel: { connections: 1 } })
  const gate = server.hold()
  const logins = []
  for (let login = 0; login < 102; login++) {
    const other = browser.clone()
    other.cookies.clear()
    logins.push({ other, callback: await authorize(await startLogin(other)) })
  }
  const answers = logins.map(({ other, callback }) => other.get(callback))
  const refused = await Promise.race(answers)
  t.match(refused, { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.ok(refused.headers.has('retry-after'))
  gate.release()
  const all = await Promise.all(answers)
  t.strictSame(all.map(({ status }) => status).toSorted(), [...Array.from({ length: 101 }, () => 303), 503])
  const index = all.findIndex(({ status }) => status === 503)
  t.equal((await logins[index]?.other.get(logins[index].callback))?.status, 303)
})
