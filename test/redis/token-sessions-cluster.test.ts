/* Sessions on Redis at several processes, each with a coordinator. */
import t from 'tap'
import { startStage, summaryOf } from '../support/cluster/stage.ts'
import { whyNotRedis } from '../support/redis-server.ts'

const skip = whyNotRedis()
t.setTimeout(300_000)

t.test('sessions of several processes', { skip }, async (t) => {
  const here = await startStage(t, 3, { isStoredThere: true, timeout: 0.5 })
  const { server, redis, member } = here
  t.beforeEach(() => { here.outcome() })
  const saved = async (sub: string) => await member(0).save(await server.issue({ sub }))
  const json = { 'content-type': 'application/json' }

  t.test('parallel requests on one expired session, at all of them, are one token request; several generations, one after the other', async (t) => {
    const browser = await here.login()
    for (let generation = 0; generation < 3; generation++) {
      here.move(301)
      t.strictSame(summaryOf(await here.storm(browser, 20)), { statuses: [200], tokens: 1 })
      t.strictSame(here.outcome(), { alive: true, tokenRequests: 1 })
    }
  })

  t.test('two processes that write one session at once, for two resources, lose nothing of it', async (t) => {
    const browser = await here.login()
    const answers = await Promise.all(['https://orders.example.com', 'https://invoices.example.com'].flatMap((resource, place) =>
      [1, 2].map(() => member(place).browser(browser).get(`/token?resource=${resource}`))))
    t.strictSame(summaryOf(answers), { statuses: [200], tokens: 2 })
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 2 })
    for (const resource of ['https://orders.example.com', 'https://invoices.example.com']) t.equal((await member(2).browser(browser).get(`/token?resource=${resource}`)).status, 200)
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 0 }, 'the third has both')
  })

  t.test('all sessions of a user are ended in one process: the next request at the others is 401, and the refresh tokens are revoked', async (t) => {
    const browsers = [await saved('carol'), await saved('carol')]
    here.move(301)
    for (const browser of browsers) t.equal((await member(1).browser(browser).get('/token')).status, 200, 'the newest refresh tokens are known to another process')
    const other = await saved('dave')
    const { text } = await member(2).browser().send('POST', '/end', json, JSON.stringify({ sub: 'carol' }))
    t.equal(text, '{"ended":2}')
    for (const browser of browsers) t.strictSame((await here.storm(browser)).map(({ status }) => status), [401, 401, 401])
    t.strictSame(server.families.filter(({ sub }) => sub === 'carol').map(({ alive }) => alive), [false, false])
    t.strictSame((await here.storm(other)).map(({ status }) => status), [200, 200, 200])
    t.equal((await (await saved('carol')).get('/token')).status, 200, 'who logs in again lives')
    t.strictSame(here.members.flatMap(({ told }) => told).filter((what) => what.startsWith('ended')), ['ended: ended', 'ended: ended'], 'told once of each')
  })

  t.test('while Redis is gone, requests that need their session are 503 with Retry-After, the others are served, and nobody is logged out; back again, all goes on', async (t) => {
    const browser = await here.login()
    await redis.stop()
    const answers = await here.storm(browser, 3)
    t.strictSame([...new Set(answers.map(({ status, headers, json, setCookies }) => [status, headers.get('retry-after'), json.code, setCookies.length].join()))], ['503,1,FST_TOKEN_STORE_FAILED,0'])
    t.equal((await member(0).browser().get('/token')).status, 401, 'who has no session is told without Redis')
    await redis.start() // empty: what was in it is gone, and only that
    const again = await later(async () => await saved('erin'))
    t.equal((await again.get('/token')).status, 200)
  })

  t.test('a Redis that is frozen answers 503 in time, and every session goes on when it is thawed', async (t) => {
    const browser = await later(async () => await saved('frank'))
    redis.freeze()
    const frozen = await here.storm(browser, 5)
    t.strictSame([...new Set(frozen.map(({ status }) => status))], [503])
    redis.thaw()
    await later(async () => { for (const { status } of await here.storm(browser)) if (status !== 200) throw new Error(String(status)) })
    here.move(301)
    t.strictSame(summaryOf(await here.storm(browser, 3)), { statuses: [200], tokens: 1 })
  })
})

/** What is tried again until it goes well: Redis may need a moment to be found again. */
async function later<Result> (work: () => Promise<Result>): Promise<Result> {
  for (let tries = 0; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (tries === 100) throw error
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
  }
}
