/* Sessions of @fastify/session in several processes: the store keeps the tokens, and the coordinator sees to it that they are refreshed once. */
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import t from 'tap'
import { redisRefreshCoordinator } from '../../lib/redis.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { JsonSessionStore } from '../support/json-session-store.ts'
import { connect, startRedis, whyNotRedis } from '../support/redis-server.ts'
import { startApp } from '../support/start-app.ts'

t.test('two processes with one store of sessions refresh each session once, one generation after the other, and a logout in one is one in the other', { skip: whyNotRedis() }, async (t) => {
  const redis = await startRedis(t)
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const store = new JsonSessionStore()
  const start = async () => await startApp(t, server, {
    coordinator: redisRefreshCoordinator({ redis: connect(t, redis), timeout: 2 }),
    before: async (app) => {
      await app.register(cookie)
      await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
    },
    routes: (app) => app.post('/leave', async (request) => { await request.tokens.clear(); return {} })
  })
  const processes = [await start(), await start()]
  const [here] = processes
  const browser = await here?.login()
  if (browser === undefined) throw new Error('There are two')
  for (let generation = 1; generation <= 3; generation++) {
    for (const { clock } of processes) clock.now += 301
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, index) => await browser.clone().through(processes[index % 2]?.origin ?? '').get('/token')))
    t.strictSame([...new Set(answers.map(({ status }) => status))], [200])
    t.equal(new Set(answers.map(({ json }) => json.token)).size, 1)
    t.equal(server.refreshes, generation)
  }
  t.equal((await browser.through(processes[1]?.origin ?? '').post('/leave')).status, 200)
  t.equal((await browser.get('/token')).status, 401)
  t.equal(server.refreshes, 3)
})
