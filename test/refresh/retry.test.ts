import { test } from 'tap'
import { askPatiently } from '../../lib/refresh/retry.ts'
import { BackchannelError } from '../../lib/token-service/backchannel.ts'
import { AnswerError } from '../../lib/token-service/token-response.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { startApp } from '../support/start-app.ts'

const notSent = new BackchannelError('refused', false, null)
const ambiguous = new BackchannelError('reset', true, null)
const answer = (status: number, retryAfter?: number) => new AnswerError('busy', { status, retryAfter })

/** How often it asked, and whether it got an answer in the end. */
async function ask (failures: Error[], retryAmbiguous = false): Promise<string> {
  let asked = 0
  const outcome = await askPatiently(async () => {
    const failure = failures[asked++]
    if (failure) throw failure
    return 'answered'
  }, retryAmbiguous).catch((error: Error) => error.message)
  return `${asked} ${outcome}`
}

test('only what cannot spend a refresh token twice is asked again within one refresh (R18 R19)', async (t) => {
  t.equal(await ask([notSent, notSent]), '3 answered')
  t.equal(await ask([answer(429, 0), answer(503, 0)]), '3 answered')
  t.equal(await ask([ambiguous]), '1 reset')
  t.equal(await ask([ambiguous], true), '2 answered', 'with retryAmbiguous')
  t.equal(await ask([answer(429, 1)]), '2 answered')
  t.equal(await ask([answer(503, 2)]), '1 busy', 'asked to wait for longer than a second')
  t.equal(await ask([answer(503)]), '1 busy', 'not asked to come back')
  t.equal(await ask([answer(500, 0)]), '1 busy')
  t.equal(await ask([answer(400)]), '1 busy')
})

test('a service that stays away is given up within a second', async (t) => {
  t.match(await ask(Array(20).fill(notSent)), /^[345] refused$/)
})

test('a busy moment of the token service is nobody\'s error', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 100 })
  t.teardown(() => server.close())
  const { clock, login } = await startApp(t, server)
  const browser = await login()
  clock.now += 101
  server.fault(faults.retryAfter(503, 0))
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.tokenRequests, 2)
})

test('a lost answer is asked for again with retryAmbiguous, where the service has a grace period (R19)', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 100, grace: { uses: 1 } })
  t.teardown(() => server.close())
  const { clock, login } = await startApp(t, server, { retryAmbiguous: true })
  const browser = await login()
  clock.now += 101
  server.fault(faults.resetAfter())
  const { json } = await browser.get('/token')
  t.equal(server.whoHas(String(json.token))?.sub, 'alice')
  t.equal(server.tokenRequests, 2)
})
