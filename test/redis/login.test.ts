import { once } from 'node:events'
import t, { type Test } from 'tap'
import { redisRefreshCoordinator, type SharedCoordinator } from '../../lib/redis.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, startLogin } from '../support/login-flow.ts'
import { connect, startRedis, type TestRedis, whyNotRedis } from '../support/redis-server.ts'
import { startApp } from '../support/start-app.ts'

const skip = whyNotRedis()

/** Two apps of one kind, as if they were two processes. */
async function startTwo (t: Test) {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const redis = await startRedis(t)
  const logins: string[] = []
  const [one, two] = [await startOne(t, server, redis, logins), await startOne(t, server, redis, logins)]
  return { server, one, two, logins }
}

async function startOne (t: Test, server: AuthorizationServer, redis: TestRedis, logins: string[], changed: Partial<SharedCoordinator> = {}) {
  const client = connect(t, redis)
  await once(client, 'ready')
  const coordinator = redisRefreshCoordinator({ redis: client, timeout: 2 })
  return await startApp(t, server, {
    coordinator: (settings) => Object.assign(coordinator(settings), changed),
    login: { callbackUri, scope: ['openid', 'offline_access'], onLogin: (_request, _reply, tokens) => { logins.push(tokens.sessionId) } }
  })
}

t.test('ten duplicates of one callback over two processes are one redemption, one login and one session', { skip }, async (t) => {
  const { server, one, two, logins } = await startTwo(t)
  const browser = new Browser(one.origin)
  const callback = await authorize(await startLogin(browser))
  const tabs = Array.from({ length: 10 }, (_, index) => new Browser((index % 2 === 0 ? one : two).origin, browser.cookies))
  const answers = await Promise.all(tabs.map((tab) => tab.get(callback)))
  t.strictSame([...new Set(answers.map(({ status }) => status))], [303])
  t.equal(server.codeExchanges, 1)
  t.equal(logins.length, 1)
  const tokens = await Promise.all(tabs.map(async (tab) => (await tab.get('/token')).json.token))
  t.equal(new Set(tokens).size, 1)
  t.ok(tokens[0])
})

t.test('a code that was refused is not sent by another process, and one that met trouble is', { skip }, async (t) => {
  const { server, one, two } = await startTwo(t)
  for (const [fault, first, then, exchanges] of [
    [faults.oauthError('invalid_grant'), 400, 400, 1],
    [faults.answer(503), 503, 303, 2]
  ] as const) {
    server.forgetRequests()
    const browser = new Browser(one.origin)
    const callback = await authorize(await startLogin(browser))
    const other = new Browser(two.origin, browser.cookies)
    server.fault(fault)
    t.equal((await browser.get(callback)).status, first)
    t.equal((await other.get(callback)).status, then)
    t.equal(server.codeExchanges, exchanges)
  }
})

t.test('a process that was stopped before it sent the code sends nothing when another may be at it, and the reload is the retry', { skip }, async (t) => {
  const { server, two } = await startTwo(t)
  const turns: number[] = []
  const stopped = await startOne(t, server, await startRedis(t), [], {
    sending: async (_code, seconds) => {
      turns.push(seconds)
      return 'lost'
    }
  })
  const browser = new Browser(stopped.origin)
  const callback = await authorize(await startLogin(browser))
  const { status, headers } = await browser.get(callback)
  t.equal(status, 503)
  t.equal(headers.get('retry-after'), '1')
  t.equal(server.codeExchanges, 0)
  t.ok(turns[0] !== undefined && turns[0] > 40, 'its turn is longer than a connection and an answer are waited for, and keys before and after, of requestTimeout each')
  t.equal((await new Browser(two.origin, browser.cookies).get(callback)).status, 303)
  t.equal(server.codeExchanges, 1)
})
