import t from 'tap'
import type { Browser } from '../support/browser.ts'
import { startStage, summaryOf } from '../support/cluster/stage.ts'
import { disguises, dumpOf } from '../support/disguises.ts'
import { connect, whyNotRedis } from '../support/redis-server.ts'

/* Real processes of one app, as behind a load balancer that knows no stickiness, and a strict authorization server. */
t.test('four processes', { skip: whyNotRedis(), timeout: 300_000 }, async (t) => {
  const here = await startStage(t, 4)
  const { server, member } = here
  t.beforeEach(() => { here.outcome() })
  const alone = { alive: true, tokenRequests: 1 }

  for (const latency of [50, 6000]) {
    t.test(`200 parallel requests on one expired session are one token request, at a latency of ${latency} ms`, async (t) => {
      server.settings.latency = latency / 1000
      const answers = await here.storm(await here.expired(), 50)
      server.settings.latency = 0
      t.strictSame(summaryOf(answers), { statuses: [200], tokens: 1 })
      t.strictSame(here.outcome(), alone)
    })
  }

  t.test('a late cookie gets the successor at a process that has never seen the session: at once, after 31 s and after an hour', async (t) => {
    const browser = await here.expired()
    const late = browser.clone()
    const { json: { token } } = await browser.get('/token')
    for (const [place, seconds] of [[1, 0], [2, 31]] as const) {
      here.move(seconds)
      const answer = await member(place).browser(late).get('/token')
      t.strictSame([answer.status, answer.json.token], [200, token])
      t.equal(answer.setCookies.length > 0, true, 'and the corrected cookie')
    }
    t.strictSame(here.outcome(), alone)
    here.move(3600)
    t.equal((await member(3).browser(late).get('/token')).status, 200)
    t.strictSame(here.outcome(), alone, 'which refreshes what has expired meanwhile')
  })

  t.test('a chain of refreshes over alternating processes spends each refresh token once', async (t) => {
    let browser = await here.login()
    const first = browser.clone()
    for (let place = 0; place < 8; place++) {
      here.move(301)
      browser = member(place % 4).browser(browser)
      t.equal((await browser.get('/token')).status, 200)
    }
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 8 })
    t.equal((await member(1).browser(first).get('/token')).status, 401, 'what has come back so long ago is forgotten, and not spent again')
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 0 })
  })

  t.test('wishes for two resources at two processes spend one refresh token after the other', async (t) => {
    const browser = await here.login()
    const answers = await Promise.all(['https://orders.example.com', 'https://invoices.example.com'].flatMap((resource, place) =>
      [1, 2].map(() => member(place).browser(browser).get(`/token?resource=${resource}`))))
    t.strictSame(summaryOf(answers), { statuses: [200], tokens: 2 })
    t.strictSame(here.outcome(), { alive: true, tokenRequests: 2 })
  })

  t.test('a service that does not rotate is asked once for each generation', async (t) => {
    server.settings.rotation = 'same'
    let browser = await here.login()
    for (const round of [1, 2, 3]) {
      here.move(301)
      t.strictSame(summaryOf(await here.storm(browser)), { statuses: [200], tokens: 1 }, `round ${round}`)
      browser = member(round).browser(browser)
      t.equal((await browser.get('/token')).status, 200)
      t.strictSame(here.outcome(), alone)
    }
    server.settings.rotation = 'new'
  })

  t.test('clocks that are half a minute apart do not matter', async (t) => {
    const browser = await here.expired()
    here.members.forEach((one, place) => { one.skew(place * 30 - 45) })
    t.strictSame(summaryOf(await here.storm(browser, 10)), { statuses: [200], tokens: 1 })
    here.members.forEach((one) => { one.skew(0) })
    t.strictSame(here.outcome(), alone)
  })

  t.test('a logout in one process ends the copies of its cookie at the others, at once', async (t) => {
    const browser = await here.login()
    const copy = browser.clone()
    await browser.post('/leave')
    await new Promise((resolve) => { setTimeout(resolve, 50) }) // the message is on its way, and its time is what is promised
    t.strictSame((await Promise.all([1, 2, 3].map((place) => member(place).browser(copy).get('/token')))).map(({ status }) => status), [401, 401, 401])
    t.strictSame(here.outcome().tokenRequests, 0)
  })

  t.test('a logout wins over a refresh of another process that is under way', async (t) => {
    const browser = await here.expired()
    const gate = server.hold()
    const refreshing = member(1).browser(browser).get('/token')
    await gate.arrived()
    await member(2).browser(browser).post('/leave')
    gate.release()
    const { status, setCookies } = await refreshing
    t.strictSame([status, setCookies.length], [401, 0])
    t.strictSame((await here.storm(browser)).map(({ status }) => status), [401, 401, 401, 401])
    t.equal(here.outcome().tokenRequests, 1)
  })

  t.test('a dump of Redis holds no token, no secret, and nobody\'s name: not in clear, in base64 or as a plain hash', async (t) => {
    const { keys, text } = await dumpOf(connect(t, here.redis))
    t.ok(keys.length > 10, 'there is something to look at')
    const secrets = [...server.tokens, server.settings.clientSecret, server.settings.user]
    t.strictSame(secrets.flatMap(disguises).filter((secret) => text.includes(secret)), [])
  })

  t.test('a request whose token is good asks Redis for nothing, and a refresh costs three commands', async (t) => {
    const redis = connect(t, here.redis)
    const browser: Browser = await here.expired()
    const commands = async () => Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1])
    const inScripts = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1])
    const before = await inScripts()
    await browser.get('/token')
    t.ok(await inScripts() - before <= 4, 'claim, sending, settle, and now and then what was missed')
    // What goes on behind the refresh may come a moment after its answer: until nothing does but the question itself.
    let atRest = await commands()
    for (let last = 0; atRest - last !== 1;) [last, atRest] = [atRest, await commands()]
    for (let place = 0; place < 12; place++) t.equal((await member(place % 4).browser(browser).get('/token')).status, 200)
    t.equal(await commands() - atRest, 1, 'the question for the number itself')
  })
})
