/*
 * Everything that may happen to a session around a refresh, once more with DPoP: the strict server wants a proof and a nonce
 * with every token request, and gives a new nonce with every answer.
 */
import { test } from 'tap'

// Before any of them is loaded: it is then that they look.
process.env.TOKEN_TYPE = 'DPoP'
const { startScenario } = await import('../support/scenario.ts')

for (const file of ['refresh/parallel', 'refresh/refresh', 'refresh/refresh-interrupted', 'refresh/state-table', 'login/logout']) await import(`../${file}.test.ts`)

test('these sessions are bound to keys, and their refreshes carry proofs with nonces', async (t) => {
  const { server, loginAged } = await startScenario(t)
  const browser = await loginAged(301)
  t.equal((await browser.get('/token')).status, 200)
  t.match(server.requestsTo('token'), [{ proof: { jkt: String, nonce: String } }])
})
