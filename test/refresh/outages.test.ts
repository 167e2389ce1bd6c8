/* What an admin sees of an outage: a line as it begins, and one as it ends. */
import { test, type Test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { ages, type Scenario, startScenario } from '../support/scenario.ts'

/** The lines of the plugin itself, at the level info and above. */
const lines = ({ log }: Scenario) => log.map((line) => JSON.parse(line)).filter(({ level, req, res, msg }) => level >= 30 && !req && !res && /token service/i.test(msg))

async function outage (t: Test, begin: (scenario: Scenario) => unknown, end: (scenario: Scenario) => unknown, age: number = ages.expired) {
  const scenario = await startScenario(t, { requestTimeout: 0.5, onRefreshFailed: undefined })
  const { clock, login } = scenario
  const browsers = await Promise.all(Array.from({ length: 4 }, () => login()))
  clock.now += age
  await begin(scenario)
  for (let second = 0; second < 5; second++) {
    for (const browser of browsers) await browser.clone().get('/token')
    clock.now += 1
  }
  const during = lines(scenario)
  await end(scenario)
  clock.now += 31
  for (const browser of browsers) await browser.clone().get('/token')
  return { ...scenario, during, after: lines(scenario).slice(during.length) }
}

const outages: Record<string, [Fault, object]> = {
  'answers 503': [faults.oauthError('temporarily_unavailable', 503), { status: 503, error: 'temporarily_unavailable' }],
  'answers 500 with invalid_grant in it': [faults.oauthError('invalid_grant', 500), { status: 500, error: 'invalid_grant' }],
  'answers a gateway\'s 502': [faults.html(502), { status: 502 }],
  'gives no answer': [faults.silence(), { failure: 'ambiguous' }]
}

for (const [name, [fault, details]] of Object.entries(outages)) {
  test(`F55 a token service that ${name} is one warning as it begins, with host, status and error, and one line as it ends`, async (t) => {
    const { server, during, after } = await outage(t, ({ server }) => server.fault(fault, Infinity), ({ server }) => server.clearFaults())
    t.match(during, [{ level: 40, tokenService: new URL(server.issuer).host, ...details }])
    t.equal(during.length, 1)
    t.match(after.filter(({ level, msg }) => level === 30 && /gives tokens again/.test(msg)), [{ tokenService: new URL(server.issuer).host, durationSeconds: Number, requests: Number }])
    t.ok(after[0].requests >= 4, `${after[0].requests} requests have waited`)
    t.notOk(during.some(({ err }) => err?.stack), 'no stack for what is no bug')
  })
}

test('F55 a token service that refuses connections is one warning with the code, and one line as it ends', async (t) => {
  const { during, after } = await outage(t, ({ server }) => server.refuseConnections(), ({ server }) => server.acceptConnections())
  t.match(during, [{ level: 40, reason: /ECONNREFUSED/ }])
  t.equal(during.length, 1)
  t.equal(after.filter(({ msg }) => /gives tokens again/.test(msg)).length, 1)
})

test('F55 an outage while the tokens are still good is told likewise', async (t) => {
  const { during, after } = await outage(t, ({ server }) => server.fault(faults.empty(503), Infinity), ({ server }) => server.clearFaults(), ages.inWindow)
  t.match(during, [{ level: 40, status: 503 }])
  t.equal(during.length, 1)
  t.equal(after.filter(({ msg }) => /gives tokens again/.test(msg)).length, 1)
})

test('F55 the trouble of one session does not come and go with the success of the others', async (t) => {
  const scenario = await startScenario(t, {}, { expiresIn: 20 })
  const { server, login, clock } = scenario
  const [bad, good] = [await login({ sub: 'hostile' }), await login({ sub: 'healthy' })]
  server.faultFor((sub) => sub === 'hostile', faults.empty(500))
  for (let round = 0; round < 5; round++) {
    clock.now += 31
    for (const browser of [bad, good]) await browser.get('/token')
  }
  t.equal(lines(scenario).length, 1)
  server.clearFaults()
  clock.now += 31
  t.equal((await bad.get('/token')).status, 200)
  t.equal(lines(scenario).length, 2)
})

test('F55 the trouble of somebody who does not come back hides no outage later', async (t) => {
  const scenario = await startScenario(t)
  const { server, login, clock } = scenario
  const [gone, other] = [await login(), await login()]
  clock.now += ages.expired
  server.fault(faults.empty(500))
  await gone.get('/token')
  t.equal((await other.get('/token')).status, 200)
  t.equal(lines(scenario).length, 1)
  clock.now += 3600
  server.fault(faults.empty(503))
  t.equal((await other.get('/token')).status, 503)
  t.match(lines(scenario).slice(1), [{ level: 40, status: 503 }])
})

test('a 401 of somebody who is not logged in is no warning', async (t) => {
  const { browserOf, log } = await startScenario(t).then((scenario) => ({ ...scenario, browserOf: scenario.login }))
  const browser = await browserOf()
  browser.cookies.clear()
  t.equal((await browser.get('/token')).status, 401)
  t.strictSame(log.filter((line) => JSON.parse(line).level >= 40), [])
})
