import Fastify from 'fastify'
import { Redis } from 'ioredis'
import tokenManagement, { type SessionQuery } from '../../../lib/index.ts'
import { redisRefreshCoordinator, redisTokenStore } from '../../../lib/redis.ts'
import type { SharedCoordinatorFactory } from '../../../lib/tokens/shared-coordinator.ts'
import type { Membership, Report } from './cluster.ts'
import { SharedOffset } from './shared-offset.ts'

/*
 * One process of a cluster, as `startCluster` starts it: an app of the plugin's user, which logs to nobody and reports what it
 * is told to the test. `GET /token` is the access token, `POST /save` starts a session, `POST /leave` ends it; `POST /end` ends those that its
 * body asks for, and `POST /job` is the access token of one, without its browser.
 */
const { issuer, clientId, clientSecret, key, redisPort, sentinelPort, timeout = 2, isStoredThere = false, options, offset: offsetFile, diesAfter }: Membership = JSON.parse(process.env.MEMBERSHIP ?? '')
const offset = SharedOffset.open(offsetFile)
const report = (what: Report) => { process.send?.(what) }
process.on('disconnect', () => process.exit()) // the test is gone

const again = () => 100
const host = '127.0.0.1'
const place = sentinelPort === undefined ? { port: redisPort, host } : { sentinels: [{ port: sentinelPort, host }], name: 'main', sentinelRetryStrategy: again }
const redis = redisPort === undefined ? undefined : new Redis({ ...place, retryStrategy: again })
redis?.on('error', () => {}) // said where a command fails
const app = Fastify({ forceCloseConnections: 'idle' })
await app.register(tokenManagement, {
  issuer,
  clientId,
  clientSecret,
  session: { key },
  clock: () => Date.now() / 1000 + offset.get(),
  onRefreshed: () => report({ told: 'refreshed' }),
  onRefreshFailed: ({ failure }) => report({ told: `failed: ${failure}` }),
  onSessionEnded: ({ reason }) => report({ told: `ended: ${reason}` }),
  ...redis && { coordinator: mortal(redisRefreshCoordinator({ redis, timeout, onAvailability: ({ isAvailable }) => report({ told: isAvailable ? 'available' : 'alone' }) })) },
  ...redis && isStoredThere && { tokenStore: redisTokenStore({ redis, timeout }) },
  ...options
})
app.get<{ Querystring: { resource?: string } }>('/token', async (request) => ({ token: await request.accessToken(request.query) }))
app.post<{ Body: { access_token: string, token_type: string } }>('/save', async (request) => {
  await request.tokens.save(request.body)
  return {}
})
app.post('/leave', { config: { tokens: false } }, async (request) => {
  await request.tokens.clear()
  return {}
})
app.post<{ Body: SessionQuery }>('/end', async (request) => ({ ended: await app.tokenSessions.end(request.body) }))
app.post<{ Body: { sessionId: string } }>('/job', async (request) => {
  const session = await app.tokenSessions.get(request.body.sessionId)
  return { token: session && await session.accessToken() }
})
process.on('SIGTERM', () => {
  app.close().then(() => process.exit(), () => process.exit(1))
})
report({ origin: await app.listen({ port: 0, host }) })

/** A process that is killed at a certain moment of its first refresh. */
function mortal (factory: SharedCoordinatorFactory): SharedCoordinatorFactory {
  return (settings) => {
    const coordinator = factory(settings)
    const { claim, sending, settle } = coordinator
    const die = () => process.kill(process.pid, 'SIGKILL')
    coordinator.claim = async (...about) => {
      const claimed = await claim.apply(coordinator, about)
      if (diesAfter === 'claim') die()
      return claimed
    }
    coordinator.sending = async (...about) => {
      const turn = await sending.apply(coordinator, about)
      if (diesAfter === 'sending') die()
      return turn
    }
    coordinator.settle = async (...about) => {
      if (diesAfter === 'answer') die()
      const isKept = await settle.apply(coordinator, about)
      if (diesAfter === 'settle') die()
      return isKept
    }
    return coordinator
  }
}
