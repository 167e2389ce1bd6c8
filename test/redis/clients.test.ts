import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import { Redis as Redis5 } from 'ioredis5'
import t, { type Test } from 'tap'
import { redisRefreshCoordinator, type RedisClient } from '../../lib/redis.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { connect, startRedis, type TestRedis, whyNotRedis } from '../support/redis-server.ts'
import { startApp } from '../support/start-app.ts'

const clients: Record<string, (t: Test, redis: TestRedis) => Promise<RedisClient>> = {
  'of ioredis 6': async (t, redis) => connect(t, redis),
  'of ioredis 5': async (t, { port }) => {
    const client = new Redis5({ port, host: '127.0.0.1' })
    t.teardown(() => { client.disconnect() })
    return client
  },
  'of @fastify/redis': async (t, { port }) => {
    const app = Fastify()
    await app.register(fastifyRedis, { port, host: '127.0.0.1' })
    t.teardown(() => app.close())
    return app.redis
  }
}

for (const [which, clientOf] of Object.entries(clients)) {
  t.test(`a client ${which} works as it is: two processes spend a refresh token once, and a logout is told`, { skip: whyNotRedis() }, async (t) => {
    const redis = await startRedis(t)
    const server = await startAuthorizationServer()
    t.teardown(() => server.close())
    const start = async () => await startApp(t, server, {
      coordinator: redisRefreshCoordinator({ redis: await clientOf(t, redis), timeout: 2 }),
      routes: (app) => app.post('/leave', async (request) => { await request.tokens.clear(); return {} })
    })
    const [here, there] = [await start(), await start()]
    const browser = await here.login()
    const copy = browser.clone()
    for (const { clock } of [here, there]) clock.now += 301
    const answers = await Promise.all([here, there].map(async ({ origin }) => await browser.through(origin).get('/token')))
    t.strictSame(answers.map(({ status }) => status), [200, 200])
    t.equal(server.tokenRequests, 1)
    t.equal((await browser.post('/leave')).status, 200)
    let status = 200 // the message of the logout may come a moment after its answer
    while (status === 200) ({ status } = await copy.clone().through(there.origin).get('/token'))
    t.equal(status, 401)
    t.equal(server.tokenRequests, 1)
  })
}
