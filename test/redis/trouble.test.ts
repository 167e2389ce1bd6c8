import t, { type Test } from 'tap'
import type { Browser } from '../support/browser.ts'
import type { Member } from '../support/cluster/cluster.ts'
import { type Stage, startStage, summaryOf } from '../support/cluster/stage.ts'
import { layWire } from '../support/cluster/wire.ts'
import { connect, whyNotRedis } from '../support/redis-server.ts'

const skip = whyNotRedis()
const once = { alive: true, tokenRequests: 1 }
t.setTimeout(300_000)

/** Settles when the app of this process was told so, so many times. */
async function told ({ told }: Member, what: string, times = 1): Promise<void> {
  while (told.filter((each) => each === what).length < times) await new Promise((resolve) => { setTimeout(resolve, 10) })
}

t.test('processes that are killed', { skip }, async (t) => {
  const here = await startStage(t, 2, { options: { requestTimeout: 2 } })

  /** What the two others answer where a third has begun before them, and is killed. */
  async function after (t: Test, diesAfter: 'claim' | 'sending' | 'answer' | 'settle') {
    const victim = await here.join({ diesAfter })
    here.members.pop()
    here.outcome()
    const browser = await here.expired()
    victim.move(here.now())
    await victim.browser(browser).get('/token').then(() => t.fail('it is killed'), () => t.pass('it is killed'))
    const begun = performance.now()
    const answers = await here.storm(browser, 5)
    return { ...summaryOf(answers), ...here.outcome(), seconds: (performance.now() - begun) / 1000 }
  }

  t.test('a process killed before its token request is replaced within four seconds', async (t) => {
    const { seconds, ...outcome } = await after(t, 'claim')
    t.strictSame(outcome, { statuses: [200], tokens: 1, ...once })
    t.ok(seconds < 4, `${seconds} s`)
  })

  t.test('a process killed as its token request leaves is replaced when that could no longer arrive', async (t) => {
    const { seconds, ...outcome } = await after(t, 'sending')
    t.strictSame(outcome, { statuses: [200], tokens: 1, ...once })
    t.ok(seconds > 2, 'and not before')
  })

  t.test('where a process is killed that has told of its successor, nobody spends the token again', async (t) => {
    const { seconds, ...outcome } = await after(t, 'settle')
    t.strictSame(outcome, { statuses: [200], tokens: 1, ...once })
  })

  t.test('where a process is killed before it could tell of its successor, only that session is lost', async (t) => {
    const { seconds, ...outcome } = await after(t, 'answer')
    t.match(outcome, { statuses: [401], alive: false, tokenRequests: 2 }, 'the token was in fact spent without an answer: tried once more, after its time')
  })
})

t.test('Redis in trouble', { skip }, async (t) => {
  const here: Stage = await startStage(t, 3, { timeout: 0.5 })
  const { redis, server, member } = here
  t.beforeEach(() => {
    here.outcome()
    for (const { told } of here.members) told.splice(0)
  })

  t.test('while Redis is gone valid tokens are served, what is due waits, what has expired is refreshed, and it is said once', async (t) => {
    const browser = await here.login()
    await redis.stop()
    here.move(250)
    t.strictSame(summaryOf(await here.storm(browser, 3)), { statuses: [200], tokens: 1 })
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 0 }, 'in its last minute, and before its last ten seconds')
    here.move(45)
    t.equal((await browser.get('/token')).status, 200)
    t.strictSame(here.outcome(), once, 'in its last ten seconds')
    here.move(301)
    const late = browser.clone()
    const { json: { token } } = await member(1).browser(browser).get('/token')
    t.strictSame(here.outcome(), once, 'expired, at another process')
    t.strictSame(member(1).told.filter((what) => what === 'alone').length, 1, 'it is said once')

    await redis.start()
    for (const each of here.members) await told(each, 'available')
    t.equal((await member(2).browser(late).get('/token')).json.token, token, 'what was done meanwhile is published, in an empty Redis')
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 0 })
  })

  t.test('a Redis that is frozen delays a refresh a little, and costs no session', async (t) => {
    const browser = await here.expired()
    const late = browser.clone()
    redis.freeze()
    const begun = performance.now()
    const { status, json: { token } } = await browser.get('/token')
    const seconds = (performance.now() - begun) / 1000
    t.equal(status, 200)
    t.ok(seconds < 3, `${seconds} s`)
    redis.thaw()
    await told(member(0), 'available')
    t.equal((await member(1).browser(late).get('/token')).json.token, token)
    t.strictSame(here.outcome(), once)
  })

  t.test('a Redis that is frozen for five seconds costs no session whose requests come one after the other, and delays each by a moment at most', async (t) => {
    const browsers = await Promise.all(Array.from({ length: 10 }, async () => await member(0).save(await server.issue({ sub: 'patient' }))))
    here.move(301)
    redis.freeze()
    const begun = performance.now()
    const statuses = new Set<number>()
    let longest = 0
    /** Each process in turn. */
    async function browse (browser: Browser): Promise<void> {
      for (let turn = 0; performance.now() < begun + 5000; turn++) {
        const askedAt = performance.now()
        statuses.add((await browser.through(member(turn % 3).origin).get('/token')).status)
        longest = Math.max(longest, performance.now() - askedAt)
      }
    }
    await Promise.all(browsers.map(browse))
    redis.thaw()
    here.move(301)
    for (const browser of browsers) for (const each of here.members) statuses.add((await each.browser(browser).get('/token')).status)
    t.strictSame([...statuses], [200])
    t.equal(server.families.filter(({ sub, alive }) => sub === 'patient' && alive).length, 10)
    t.ok(longest < 3000, `${longest} ms`)
    for (const { told } of here.members) while (told.at(-1) === 'alone') await new Promise((resolve) => { setTimeout(resolve, 10) })
  })

  t.test('a Redis that is 200 ms away delays refreshes by that much for each step', async (t) => {
    const { wire, port } = await layWire(t, redis.port)
    const [one, two] = await Promise.all([here.join({ redisPort: port, timeout: 2 }), here.join({ redisPort: port, timeout: 2 })])
    wire.delay = 200
    const browser = await here.expired()
    const answers = await Promise.all([one, two, one, two].map((each) => each.browser(browser).get('/token')))
    t.strictSame(summaryOf(answers), { statuses: [200], tokens: 1 })
    t.strictSame(here.outcome(), once)
    here.members.splice(3)
  })

  t.test('a process that is cut off while its request is on its way keeps its turn', async (t) => {
    const { wire, port } = await layWire(t, redis.port)
    const cutOff = await here.join({ redisPort: port })
    here.members.pop()
    const browser = await here.expired()
    cutOff.move(here.now())
    const gate = server.hold()
    const refreshing = cutOff.browser(browser).get('/token')
    await gate.arrived()
    wire.cut()
    const others = here.storm(browser, 2)
    gate.release()
    const { status, json: { token } } = await refreshing
    t.equal(status, 200)
    await told(cutOff, 'alone')
    wire.mend()
    t.strictSame((await others).map(({ json }) => json.token), Array(6).fill(token), 'and tells what it has got when it is back')
    t.strictSame(here.outcome(), once)
  })

  t.test('a Redis that is full is done without', async (t) => {
    const filler = connect(t, redis)
    await filler.config('SET', 'maxmemory', '1')
    const browser = await here.expired()
    t.equal((await browser.get('/token')).status, 200)
    t.equal((await member(1).browser(browser).get('/token')).status, 200)
    t.strictSame(here.outcome(), once)
    t.ok(member(0).told.includes('alone'))
    await filler.config('SET', 'maxmemory', '0')
  })
})
