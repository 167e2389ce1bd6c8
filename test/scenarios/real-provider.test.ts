import Fastify from 'fastify'
import { test, type Test } from 'tap'
import tokenManagement from '../../lib/index.ts'
import { Browser } from '../support/browser.ts'
import { callbackUri, goOn, startLogin } from '../support/login-flow.ts'
import { startRealProvider, type RealProvider } from '../support/real-provider.ts'
import { sessionKey } from '../support/start-app.ts'

interface RealApp {
  readonly provider: RealProvider
  readonly clock: { now: number }
  readonly browser: Browser
  readonly logIn: () => Promise<void>
}

async function startRealApp (t: Test): Promise<RealApp> {
  const provider = await startRealProvider(t, { callbackUri, registration: { token_endpoint_auth_method: 'client_secret_basic' } })
  const { issuer, client: { id: clientId, secret: clientSecret } } = provider
  const clock = { now: Date.now() / 1000 }
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(tokenManagement, {
    issuer,
    clientId,
    clientSecret,
    session: { key: sessionKey },
    login: { callbackUri, scope: ['openid', 'offline_access'] },
    clock: () => clock.now
  })
  app.get('/token', { onRequest: app.requireAccessToken }, async (request) => ({ token: await request.accessToken() }))
  const browser = new Browser(await app.listen({ port: 0, host: '127.0.0.1' }))
  const logIn = async () => {
    const answer = await browser.get(await provider.authorize(await startLogin(browser)))
    t.equal(answer.status, 303)
    t.equal(answer.headers.get('location'), '/')
  }
  return { provider, clock, browser, logIn }
}

test('somebody logs in, has their token refreshed several times, and logs out at a real provider', async (t) => {
  const { provider, clock, browser, logIn } = await startRealApp(t)
  t.equal((await browser.get('/token')).status, 401)
  await logIn()

  const tokens = new Set<string>()
  for (let refreshes = 0; refreshes < 4; refreshes++) {
    const token = String((await browser.get('/token')).json.token)
    t.equal((await browser.get('/token')).json.token, token)
    t.equal(await provider.accepts(token), true)
    tokens.add(token)
    clock.now += 61
  }
  t.equal(tokens.size, 4)
  t.match(provider.tokenRequests(), ['authorization_code', 'refresh_token', 'refresh_token', 'refresh_token'].map((grant) => ({ for: grant, status: 200 })))
  t.equal(provider.tokenRequests().length, 4)

  const old = browser.clone()
  const answer = await goOn(browser, await browser.post('/auth/logout'))
  t.equal(answer.status, 303)
  const location = new URL(answer.headers.get('location') ?? '')
  t.equal(location.origin + location.pathname, `${provider.issuer}/session/end`)
  t.equal((await new Browser(provider.issuer).get(location.href)).status, 200, 'the provider takes the id_token_hint')
  for (const each of [browser, old]) t.equal((await each.get('/token')).status, 401)
  for (const token of tokens) t.equal(await provider.accepts(token), false, 'revoked')
  t.equal(provider.tokenRequests().length, 4)
})

test('50 parallel requests on one expired session make one refresh request at a real provider, and answer 50 × 200', async (t) => {
  const { provider, clock, browser, logIn } = await startRealApp(t)
  await logIn()
  for (let round = 1; round <= 3; round++) {
    clock.now += 61
    const late = browser.clone()
    const tabs = Array.from({ length: 50 }, () => browser.clone())
    const answers = await Promise.all(tabs.map((tab) => tab.get('/token')))
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
    const [token, ...others] = new Set(answers.map(({ json }) => String(json.token)))
    t.strictSame(others, [])
    t.equal(await provider.accepts(token ?? ''), true)
    t.equal(provider.tokenRequests().length, 1 + round)
    t.equal((await late.get('/token')).json.token, token, 'a late request with the spent cookie gets the successor')
    browser.cookies.set('tokens', tabs[round]?.cookies.get('tokens') ?? '')
  }
  t.ok(provider.tokenRequests().every(({ status }) => status === 200))
})

test('a logout in one tab ends the session for every copy of its cookie, and the next login is another session', async (t) => {
  const { provider, clock, browser, logIn } = await startRealApp(t)
  await logIn()
  const stolen = browser.clone()
  await browser.clone().post('/auth/logout')
  t.equal((await stolen.get('/token')).status, 401)
  await logIn()
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  t.equal(provider.tokenRequests().length, 3)
})
