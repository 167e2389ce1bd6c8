import { once } from 'node:events'
import Fastify from 'fastify'
import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type AvailabilityEvent, redisRefreshCoordinator, type SharedCoordinator } from '../../lib/redis.ts'
import type { Spendable } from '../../lib/tokens/shared-coordinator.ts'
import { joinCluster, connect, startRedis, TestRedis, whyNotRedis } from '../support/redis-server.ts'

const now = 1_800_000_000
const key = Buffer.alloc(32, 'k')
const skip = whyNotRedis()

interface Process extends SharedCoordinator {
  readonly redis: Redis | Cluster
  readonly log: string[]
  readonly events: AvailabilityEvent[]
}

/** What one process has of it, ready to ask and to hear. */
async function join (t: Test, redis: TestRedis | Redis | Cluster, { keys = [key], clock = (): number => now, timeout = 2 } = {}): Promise<Process> {
  const client = redis instanceof TestRedis ? connect(t, redis) : redis
  if (client.status === 'connecting') await once(client, 'ready')
  const log: string[] = []
  const events: AvailabilityEvent[] = []
  const app = Fastify({ logger: { level: 'debug', stream: { write: (line: string) => { log.push(line) } } } })
  const coordinator = redisRefreshCoordinator({ redis: client, timeout, onAvailability: (event) => events.push(event) })({
    issuer: 'https://idp.example.com', clientId: 'web', keys, clock, gracePeriod: 30, inactivityDuration: 86_400, log: app.log
  })
  t.teardown(() => coordinator.close())
  return Object.assign(coordinator, { redis: client, log, events })
}

const spendable = (generation: number, changed: Partial<Spendable> = {}): Spendable =>
  ({ id: 'the-session', generation, secret: `refresh token ${generation}`, arrived: generation, endsAt: now + 604_800, ...changed })
const successor = (generation: number, secret = `refresh token ${generation}`) => ({ successor: { generation, secret, content: Buffer.from(`tokens ${generation}`) } })
const yours = { status: 'yours', mayBeSent: false }

/** The key of a session's state, or of its keys for generations, where there is one session. */
async function keyOf (redis: Redis | Cluster, ending: string): Promise<string> {
  const keys = await redis.keys(`tokens:{*${ending}`)
  if (keys[0] === undefined || keys.length > 1) throw new Error(`Not one key, but ${keys.length}`)
  return keys[0]
}

/** The time in which a mark is good is over. */
async function lapse (redis: Redis | Cluster): Promise<void> {
  await redis.hset(await keyOf(redis, '}'), 'lapses', 0)
}

async function refresh (process: SharedCoordinator, generation: number, secret?: string): Promise<void> {
  await process.claim(spendable(generation, secret === undefined ? {} : { secret }))
  await process.sending(spendable(generation), 10)
  await process.settle(spendable(generation, secret === undefined ? {} : { secret }), successor(generation + 1, secret))
}

t.test('of three processes that ask at once, one gets its turn, and the others what came of it', { skip }, async (t) => {
  const redis = await startRedis(t)
  const processes = await Promise.all([join(t, redis), join(t, redis), join(t, redis)])
  let turns = 0
  const answers = await Promise.all(processes.map(async (one) => {
    const claim = await one.claim(spendable(0))
    if (claim.status !== 'yours') return claim
    turns++
    t.equal(claim.mayBeSent, false)
    t.equal(await one.sending(spendable(0), 10), 'yours')
    await one.settle(spendable(0), successor(1))
    return claim
  }))
  t.equal(turns, 1)
  const others = answers.filter(({ status }) => status !== 'yours')
  t.match(others, [{ status: 'succeeded', content: Buffer.from('tokens 1'), isNewest: true }, { status: 'succeeded' }])
})

t.test('who waits asks once, and is told the newest itself: not what is older, nor what another refresh token has brought', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two, three] = [await join(t, redis), await join(t, redis), await join(t, redis)]
  const questions = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await one.redis.info('commandstats'))?.[1])
  const isWaited = async () => { while (await one.redis.hget(await keyOf(one.redis, '}'), 'waiting') === null); }
  for (const process of [one, two, three]) await process.claim(spendable(0, { id: 'warm' })).then(() => process.settle(spendable(0, { id: 'warm' }), { mayBeSent: false }))
  await one.redis.flushdb()
  await one.claim(spendable(3))
  const before = await questions()
  const told = two.claim(spendable(3))
  await isWaited()
  await one.settle(spendable(3), successor(4))
  t.strictSame(await told, { status: 'succeeded', content: Buffer.from('tokens 4'), isNewest: true })
  t.equal(await questions() - before, 2, 'its own question, and what was settled')

  await one.claim(spendable(4))
  const [other, older] = [two.claim(spendable(4, { secret: 'of another copy' })), three.claim(spendable(2))]
  t.strictSame(await older, { status: 'spent' })
  await isWaited()
  await one.settle(spendable(4), successor(5))
  t.equal((await other).status, 'yours', 'nothing has come of it, and it opens nothing of what has come of the other')

  await one.redis.flushdb()
  const same = { secret: 'that does not rotate' }
  await one.claim(spendable(3, same))
  const newer = two.claim(spendable(5, same))
  await isWaited()
  await one.settle(spendable(3, same), successor(4, same.secret))
  t.equal((await newer).status, 'yours', 'the newest that an emptied Redis knows is older than what it has')
})

t.test('those who wait are told as soon as somebody gives up, and the next one has its turn', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two, three] = [await join(t, redis), await join(t, redis), await join(t, redis)]
  t.strictSame(await one.claim(spendable(0)), yours)
  const turns = [two, three].map(async (process) => {
    const claim = await process.claim(spendable(0))
    if (claim.status === 'yours') await process.settle(spendable(0), { dead: true })
    return claim.status
  })
  while (!(await one.redis.hget(await keyOf(one.redis, '}'), 'waiting'))?.trim().includes(' ')); // both are waiting
  await one.settle(spendable(0), { mayBeSent: false })
  t.strictSame((await Promise.all(turns)).toSorted(), ['dead', 'yours'])
  t.strictSame(await one.claim(spendable(0)), { status: 'dead' }, 'and what is dead is known to all')
})

t.test('a mark that lapses is taken over, with the word whether it may have been sent', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  await one.claim(spendable(0))
  const state = await keyOf(one.redis, '}')
  const [seconds] = await one.redis.time()
  const until = Number(await one.redis.hget(state, 'lapses'))
  t.ok(until > Number(seconds) * 1000 && until < Number(seconds) * 1000 + 4100, 'three seconds to begin with')
  await lapse(one.redis)
  t.strictSame(await two.claim(spendable(0)), yours)
  t.equal(await one.sending(spendable(0), 10), 'lost', 'the one that was stopped sends nothing')

  t.equal(await two.sending(spendable(0), 10), 'yours')
  t.ok(Number(await one.redis.hget(state, 'lapses')) > Number(seconds) * 1000 + 11_900, 'the deadline of the call, and two seconds')
  t.match(await one.look(spendable(0)), { status: 'busy' }, 'nobody else sends it before that')
  await lapse(one.redis)
  t.strictSame(await one.claim(spendable(0)), { status: 'yours', mayBeSent: true })
  await one.settle(spendable(0), { mayBeSent: false })
  t.strictSame(await two.claim(spendable(0)), { status: 'yours', mayBeSent: true }, 'until somebody knows better')
  await two.sending(spendable(0), 10)
  await two.settle(spendable(0), successor(1))
  t.strictSame(await one.claim(spendable(1)), yours)
})

t.test('what was spent gives its successor to whoever has it, one after the other, until it is forgotten', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis, { clock: () => now + 30 })]
  await refresh(one, 0)
  await refresh(two, 1)
  t.strictSame(await two.claim(spendable(0)), { status: 'succeeded', content: Buffer.from('tokens 1'), isNewest: false })
  t.strictSame(await one.look(spendable(1)), { status: 'succeeded', content: Buffer.from('tokens 2'), isNewest: true })
  const first = await keyOf(one.redis, ':0')
  t.ok(await one.redis.pttl(first) <= 30_000, 'what has come back is forgotten after the grace period')
  t.ok(await one.redis.pttl(await keyOf(one.redis, ':1')) > 30_000)
  t.strictSame(await one.look(spendable(2)), { status: 'newest' })
  t.ok(await one.redis.pttl(await keyOf(one.redis, ':1')) <= 30_000)
  await one.redis.del(first)
  t.strictSame(await two.claim(spendable(0)), { status: 'spent' })
})

t.test('a service that does not rotate: the generation tells what came after what, and what is forgotten is spent again', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  await refresh(one, 0, 'always the same')
  t.match(await two.claim(spendable(0, { secret: 'always the same' })), { status: 'succeeded', isNewest: true })
  await refresh(two, 1, 'always the same')
  await one.redis.del(await keyOf(one.redis, ':0'))
  t.strictSame(await one.claim(spendable(0, { secret: 'always the same' })), yours)
})

t.test('two successors of one generation, made while Redis was gone, do not hide each other\'s refresh token', { skip }, async (t) => {
  const redis = await startRedis(t)
  const one = await join(t, redis)
  await one.settle(spendable(0), successor(1))
  await one.settle(spendable(1), successor(2))
  t.strictSame(await one.claim(spendable(1, { secret: 'of another branch' })), yours)
})

t.test('a logout wins: no turn, no request, no successor; and every process is told, one that starts later too', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  const told = new Promise<string>((resolve) => { one.onEnded(resolve) })
  await one.claim(spendable(0))
  await two.end('the-session', now + 1000)
  t.equal(await told, 'the-session')
  t.equal(await one.sending(spendable(0), 10), 'lost')
  t.strictSame(await one.claim(spendable(0)), { status: 'ended' })
  await one.settle(spendable(0), successor(1))
  await one.settle(spendable(0), { dead: true })
  t.strictSame(await one.look(spendable(0)), { status: 'ended' })
  const lifetime = await one.redis.pttl(await keyOf(one.redis, '}'))
  t.ok(lifetime > 900_000 && lifetime <= 1_000_000, 'until the session could no longer live')
  const late = await join(t, redis)
  t.equal(await new Promise((resolve) => { late.onEnded(resolve) }), 'the-session')
})

t.test('a session that was replaced is told to every process, one that starts later too, and nobody takes it for a logout', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  const heard = (process: SharedCoordinator) => new Promise<string>((resolve) => {
    process.onReplaced(resolve)
    process.onEnded((id) => resolve(`the end of ${id}`))
  })
  const told = heard(one)
  await two.replace('the-session')
  t.equal(await told, 'the-session')
  t.equal(await heard(await join(t, redis)), 'the-session')
  t.strictSame(await one.claim(spendable(0)), yours, 'it is served for a while')
})

t.test('only who has the key and what was spent opens a successor, and a dump holds neither', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, other] = [await join(t, redis), await join(t, redis, { keys: [Buffer.alloc(32, 'o')] })]
  const rolled = await join(t, redis, { keys: [Buffer.alloc(32, 'n'), key] })
  await refresh(one, 0)
  t.match(await rolled.claim(spendable(0)), { status: 'succeeded', isNewest: true }, 'an older key opens')
  t.strictSame(await other.look(spendable(0)), { status: 'newest' }, 'another key knows nothing of it')
  const values = [await one.redis.hgetall(await keyOf(one.redis, '}')), await one.redis.getBuffer(await keyOf(one.redis, ':0'))].map((value) => Buffer.isBuffer(value) ? value.toString('latin1') : JSON.stringify(value))
  for (const secret of ['refresh token 0', 'refresh token 1', 'tokens 1']) t.notOk(values.join().includes(secret), secret)
})

t.test('a Redis that is frozen is waited for a moment, said once, and what it did too late is taken back', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis, { timeout: 0.2 }), await join(t, redis)]
  await refresh(two, 0)
  redis.freeze()
  t.strictSame(await one.claim(spendable(1)), { status: 'alone' })
  t.strictSame(await one.claim(spendable(1)), { status: 'alone' }, 'nobody waits again at once')
  t.strictSame(await one.look(spendable(1)), { status: 'alone' })
  await one.settle(spendable(1), { mayBeSent: false })
  redis.thaw()
  t.match(await two.claim(spendable(1)), { status: 'yours' }, 'after it was taken back')
  while (one.events.length < 2) await new Promise(setImmediate)
  t.match(one.events, [{ isAvailable: false, error: Error }, { isAvailable: true }])
  t.equal(one.log.filter((line) => line.includes('Redis')).length, 2, 'said once, and once that it is over')
})

t.test('who is alone and claims too late has the turn until its spend is over', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis, { timeout: 0.2 }), await join(t, redis)]
  redis.freeze()
  t.strictSame(await one.claim(spendable(0)), { status: 'alone' })
  redis.thaw()
  while (one.events.length < 2) await new Promise(setImmediate)
  const asked = two.claim(spendable(0))
  await one.settle(spendable(0), successor(1))
  t.match(await asked, { status: 'succeeded', isNewest: true })
})

t.test('a message that is no name wakes nobody, and breaks nothing', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  await one.claim(spendable(0))
  const asked = two.claim(spendable(0))
  let channels: unknown[] = []
  const name = /\{(.*)\}/.exec(await keyOf(one.redis, '}'))?.[1]
  while (channels.length < 2) channels = await one.redis.call('PUBSUB', 'CHANNELS', 'tokens:process:*') as unknown[]
  for (const channel of channels) for (const message of ['error', 'newListener', '', '\n', `${name} 1\n`, `${name} 1\nnothing that opens`, `${name} x\n`]) await one.redis.publish(String(channel), message)
  await one.settle(spendable(0), successor(1))
  t.match(await asked, { status: 'succeeded' })
})

t.test('a dead token is dead for an hour, or until somebody gets something for it all the same', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  await one.claim(spendable(0))
  await one.settle(spendable(0), { dead: true })
  t.strictSame(await two.claim(spendable(0)), { status: 'dead' })
  await two.settle(spendable(0), successor(1, 'refresh token 0'))
  t.strictSame(await one.claim(spendable(1, { secret: 'refresh token 0' })), yours)
})

t.test('Redis is waited for two seconds at most', async (t) => {
  for (const timeout of [0, -1, 2.1, NaN]) {
    t.throws(() => redisRefreshCoordinator({ redis: new Redis({ lazyConnect: true }), timeout }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /timeout must be more than 0 and at most 2 seconds/ })
  }
})

t.test('a Redis that was stopped is tried once a second, and one that starts empty is told what there was', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  await refresh(one, 0)
  await two.end('another-session', now + 1000)
  await redis.stop()
  while (one.redis.status === 'ready' || two.redis.status === 'ready') await new Promise(setImmediate)
  t.strictSame(await one.claim(spendable(1)), { status: 'alone' })
  t.equal(await one.sending(spendable(1), 10), 'alone')
  t.equal(await one.settle(spendable(1), successor(2)), true, 'it is kept until then')
  t.equal(await one.settle(spendable(2), { mayBeSent: true }), true)
  await redis.start()
  while (one.events.length < 2) await new Promise((resolve) => { setTimeout(resolve, 10) })
  t.match(one.events, [{ isAvailable: false, error: Error }, { isAvailable: true }])
  const standings: string[] = []
  for (let tries = 0; tries < 500 && standings[0] !== 'succeeded'; tries++) standings.splice(0, 1, (await two.look(spendable(0))).status)
  t.strictSame(standings, ['succeeded'], 'what it was told before')
  t.match(await two.look(spendable(1)), { status: 'succeeded', isNewest: true }, 'and what was done meanwhile')
  const late = await join(t, redis)
  t.equal(await new Promise((resolve) => { late.onEnded(resolve) }), 'another-session')
})

t.test('a process that is alone while another is at it waits until that one can no longer be', { skip }, async (t) => {
  const redis = await startRedis(t)
  const [one, two] = [await join(t, redis), await join(t, redis)]
  await one.claim(spendable(0))
  const asked = two.claim(spendable(0))
  while (!await one.redis.hget(await keyOf(one.redis, '}'), 'waiting'));
  const begun = performance.now()
  await redis.stop()
  t.strictSame(await asked, { status: 'alone' })
  t.ok(performance.now() - begun > 1500, 'the three seconds of the other one\'s mark')
  t.equal(await one.sending(spendable(0), 10), 'lost', 'whose turn is over by then, as far as it can know')
})

t.test('a Redis that is full is as good as gone, until it takes what it refused', { skip }, async (t) => {
  const redis = await startRedis(t)
  const one = await join(t, redis)
  await one.redis.config('SET', 'maxmemory', '1')
  t.strictSame(await one.claim(spendable(0)), { status: 'alone' })
  await one.redis.config('SET', 'maxmemory', '0')
  while ((await one.claim(spendable(0))).status === 'alone') await new Promise((resolve) => { setTimeout(resolve, 100) })
  while (one.events.length < 2) await new Promise(setImmediate)
  t.match(one.events, [{ isAvailable: false }, { isAvailable: true }])
  t.notMatch(one.log.join(), /EVAL|redis\.call/, 'the log holds no command')
})

t.test('a client that connects when it is needed, and puts a prefix before its keys', { skip }, async (t) => {
  const redis = await startRedis(t)
  const client = connect(t, redis, { lazyConnect: true, keyPrefix: 'shop:' })
  const one = await join(t, client)
  const two = await join(t, redis)
  await refresh(one, 0)
  t.match(await one.claim(spendable(0)), { status: 'succeeded' })
  t.strictSame(await two.look(spendable(0)), { status: 'newest' }, 'it is another app\'s')
  t.strictSame((await two.redis.keys('*')).filter((key) => !key.startsWith('shop:tokens:{')), [])
})

t.test('a Cluster of three nodes: all of a session is in one slot', { skip }, async (t) => {
  const nodes = await Promise.all([1, 2, 3].map(async () => await startRedis(t, ['--cluster-enabled', 'yes'])))
  joinCluster(nodes)
  const clients = nodes.slice(0, 2).map(({ port }) => new Cluster([{ port, host: '127.0.0.1' }]))
  t.teardown(() => { for (const client of clients) client.disconnect() })
  const [one, two] = await Promise.all(clients.map(async (client) => await join(t, client)))
  if (one === undefined || two === undefined) throw new Error('There are two')
  const told = new Promise<string>((resolve) => { two.onEnded(resolve) })
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
    t.strictSame(await one.claim(spendable(0, { id })), yours)
    const waiting = two.claim(spendable(0, { id }))
    await one.sending(spendable(0, { id }), 10)
    await one.settle(spendable(0, { id }), successor(1))
    t.match(await waiting, { status: 'succeeded', isNewest: true })
  }
  await one.end('a', now + 1000)
  t.equal(await told, 'a')
})
