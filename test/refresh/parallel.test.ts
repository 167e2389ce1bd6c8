import { test } from 'tap'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { startApp } from '../support/start-app.ts'

test('50 parallel requests on one expired session spend its refresh token once, and get one and the same cookie', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  const { clock, login } = await startApp(t, server)
  const browser = await login()
  clock.now += 61

  const answers = await Promise.all(Array.from({ length: 50 }, () => browser.clone().get('/token')))

  t.equal(server.tokenRequests, 1)
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ setCookies }) => setCookies.join())).size, 1)
  t.match(answers[0]?.setCookies, [/^__Host-tokens=/])
  const [token] = new Set(answers.map(({ json }) => json.token))
  t.equal(server.whoHas(String(token))?.sub, 'alice', 'the family lives')
})
