import { once } from 'node:events'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { redisRefreshCoordinator, type SharedCoordinator } from '../../lib/redis.ts'
import type { Spendable } from '../../lib/tokens/shared-coordinator.ts'
import { connect, startRedis, type TestRedis, whyNotRedis } from '../support/redis-server.ts'

const now = 1_800_000_000
const key = Buffer.alloc(32, 'k')

/** What one process has of it, ready to ask and to hear. */
async function join (t: Test, redis: TestRedis, { keys = [key], clock = () => now, gracePeriod = 30 } = {}): Promise<SharedCoordinator> {
  const client = connect(t, redis)
  await once(client, 'ready')
  const { log } = Fastify()
  const coordinator = redisRefreshCoordinator({ redis: client, timeout: 2 })({
    issuer: 'https://idp.example.com', clientId: 'web', keys, clock, gracePeriod, inactivityDuration: 86_400, log
  })
  t.teardown(() => coordinator.close())
  return coordinator
}

const spendable = (generation: number, changed: Partial<Spendable> = {}): Spendable =>
  ({ id: 'the-session', generation, secret: `refresh token ${generation}`, arrived: generation, endsAt: now + 604_800, ...changed })
const successor = (generation: number, secret = `refresh token ${generation}`) => ({ successor: { generation, secret, content: Buffer.from(`tokens ${generation}`) } })

t.test('of three processes that ask at once, one gets its turn, and the others what came of it', { skip: whyNotRedis() }, async (t) => {
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
