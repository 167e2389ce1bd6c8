import { Redis } from 'ioredis'
import { type Stage, startStage } from '../test/support/cluster/stage.ts'

/*
 * What several processes cost: storms of requests on one expired session over 1, 2 and 4 processes with one Redis, against a
 * strict server; and what lies in Redis for a session whose tokens are JWTs.
 */
const requests = 200
/** Of the token endpoint, in milliseconds. */
const latencies = [5, 50, 500]
const rounds = 31

const say = (text: string) => process.stdout.write(`${text}\n`)
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

/** Milliseconds from the first answer to the last of one storm, and from its start to the last. */
async function storm (here: Stage): Promise<{ spread: number, total: number }> {
  const browser = await here.expired()
  here.outcome()
  const begun = performance.now()
  const ends: number[] = []
  await Promise.all(Array.from({ length: requests }, async (_, index) => {
    const { status } = await here.member(index % here.members.length).browser(browser).get('/token')
    if (status !== 200) throw new Error(`A request was answered ${status}`)
    ends.push(performance.now())
  }))
  const { alive, tokenRequests } = here.outcome()
  if (!alive || tokenRequests !== 1) throw new Error(`${tokenRequests} token requests, and the session ${alive ? 'lives' : 'is dead'}`)
  return { spread: Math.max(...ends) - Math.min(...ends), total: Math.max(...ends) - begun }
}

async function scripts (redis: Redis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
}

async function messages (redis: Redis): Promise<number> {
  return Number(/cmdstat_publish:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
}

async function bytes (redis: Redis): Promise<number> {
  const keys = (await redis.keys('tokens:{*')).filter((key) => !key.endsWith(':ended'))
  const sizes = await Promise.all(keys.map(async (key) => Number(await redis.memory('USAGE', key))))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What one process takes, by latency. */
const alone = new Map<number, { spread: number, total: number }>()

say(`${requests} requests on one expired session, the median of ${rounds} storms\n`)
say('| token endpoint, ms | processes | start to last answer, ms | of one process | first to last answer, ms | of the latency | of one process | commands per process | messages |')
say('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
for (const size of [1, 2, 4]) {
  const closing: Array<() => unknown> = []
  const here = await startStage({ teardown: (close) => closing.push(close) }, size)
  const redis = new Redis(here.redis.port)
  // So that each process has seen as many requests as the single one.
  for (let warm = 0; warm < 60 * size; warm++) await storm(here)
  for (const latency of latencies) {
    here.server.settings.latency = latency / 1000
    const before = [await scripts(redis), await messages(redis)] as const
    const storms: Array<{ spread: number, total: number }> = []
    for (let round = 0; round < rounds; round++) storms.push(await storm(here))
    const commands = (await scripts(redis) - before[0]) / rounds / size
    const told = (await messages(redis) - before[1]) / rounds
    const [spread, total] = [median(storms.map((each) => each.spread)), median(storms.map((each) => each.total))]
    const one = alone.get(latency) ?? { spread, total }
    if (size === 1) alone.set(latency, one)
    const times = [total.toFixed(0), (total / one.total).toFixed(2), spread.toFixed(0), (spread / latency).toFixed(2), (spread / one.spread).toFixed(2)]
    say(`| ${[latency, size, ...times, commands.toFixed(1), told.toFixed(1)].join(' | ')} |`)
  }

  if (size === 1) {
    await redis.flushall()
    here.server.settings.accessTokenFormat = 'jwt'
    let browser = await here.expired()
    const lives: number[] = []
    for (let refresh = 0; refresh < 3; refresh++) {
      await browser.get('/token')
      browser = here.member(0).browser(browser)
      lives.push(await bytes(redis))
      here.move(301)
    }
    const good = await here.login()
    const commandsBefore = Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1])
    for (let request = 0; request < 100; request++) await good.get('/token')
    const ordinary = Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1]) - commandsBefore - 1
    await redis.flushall()
    await good.post('/leave')
    process.on('exit', () => {
      say(`\nBytes in Redis for a session: ${lives[0]} after its first refresh, ${lives[2]} after its third, until the last but one is forgotten after the grace period; ${tombstone} after its logout.`)
      say(`Commands of 100 requests whose token is good: ${ordinary}.`)
    })
    const tombstone = await bytes(redis)
  }
  redis.disconnect()
  for (const close of closing.reverse()) await close()
}
