/* Whose session it is, without asking anybody. */
import { test, type Test } from 'tap'
import type { TokenClaims } from 'fastify'
import { ages, startScenario } from '../support/scenario.ts'
import { startSessionApp } from '../support/session-app.ts'
import { logIn } from '../support/login-flow.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { sessionKey, type TestAppOptions } from '../support/start-app.ts'

declare module 'fastify' {
  interface TokenClaims { readonly department?: string }
}

const config = { tokens: false } as const

async function start (t: Test, options: TestAppOptions = {}, settings: Partial<Settings> = {}) {
  return await startScenario(t, {
    routes: (app) => {
      app.get('/who', { config }, async (request): Promise<{ claims: TokenClaims | null }> => ({ claims: await request.tokens.claims() }))
      app.post('/clear', { config }, async (request) => {
        await request.tokens.clear()
        return { claims: await request.tokens.claims() }
      })
    },
    ...options
  }, { expiresIn: 300, idTokenClaims: { name: 'Alice', email: 'alice@example.com', department: 'sales', phone_number: '1' }, ...settings })
}

const alice = { sub: 'alice', name: 'Alice', email: 'alice@example.com', sid: String, iat: Number }

test('the claims of the id_token are kept that session.claims names, sid and iat, and nobody is asked for them', async (t) => {
  const { loginAged, server, app } = await start(t)
  const requests = () => server.requests.length
  for (const age of [0, ages.inWindow, ages.expired, 10_000]) {
    const browser = await loginAged(age)
    const before = requests()
    const { status, json, setCookies } = await browser.get('/who')
    t.equal(status, 200)
    t.match(json, { claims: alice })
    t.notMatch(json, { claims: { phone_number: String } })
    t.notMatch(json, { claims: { department: String } })
    t.strictSame(setCookies, [])
    t.equal(requests(), before, `at the age of ${age}`)
  }
  t.strictSame((await app.inject('/who')).json(), { claims: null }, 'nobody')
})

test('session.claims says which, as far as the id_token has them', async (t) => {
  const { login } = await start(t, { session: { key: sessionKey, claims: ['department', 'toString', 'nothing'] } })
  const { json } = await (await login()).get('/who')
  t.strictSame(Object.keys(Object(json.claims)), ['sid', 'iat', 'department'])
  t.match(json, { claims: { department: 'sales' } })
})

test('a refresh without an id_token, or with one that says less, takes no claim away, and a newer one counts', async (t) => {
  const { login, server, clock } = await start(t)
  const browser = await login()
  const claims = async () => {
    clock.now += 301
    t.equal((await browser.get('/token')).status, 200)
    return (await browser.get('/who')).json.claims
  }
  server.fault(faults.without('id_token'))
  t.match(await claims(), alice)
  server.settings.idTokenClaims = { name: 'Alice Liddell' }
  t.match(await claims(), { ...alice, name: 'Alice Liddell' })
})

test('claims are there where the id_token was too large to keep', async (t) => {
  const { login } = await start(t, {}, { idTokenClaims: { email: 'alice@example.com', groups: Array.from({ length: 300 }, (_, index) => `${index ** 5}`) } })
  const browser = await login()
  t.match((await browser.get('/who')).json, { claims: { sub: 'alice', email: 'alice@example.com' } })
  t.notMatch((await browser.get('/tokens')).json, { idToken: String })
})

test('in an outage claims are there; of a session that is dead, or logged out, they are not', async (t) => {
  const { loginAged, login, server, clock } = await start(t)
  const browser = await loginAged(ages.expired)
  server.fault(faults.answer(503))
  t.equal((await browser.get('/token')).status, 503)
  t.match((await browser.get('/who')).json, { claims: alice }, 'an outage')

  const dead = await login()
  for (const { id } of server.families) server.end(id)
  clock.now += ages.inWindow
  t.equal((await dead.get('/token')).status, 200)
  t.match((await dead.get('/who')).json, { claims: alice }, 'its access token is good for a while')
  clock.now += 60
  t.equal((await dead.get('/token')).status, 401)
  t.strictSame((await dead.get('/who')).json, { claims: null }, 'dead')

  const leaving = await login()
  const copy = leaving.clone()
  t.strictSame((await leaving.post('/clear')).json, { claims: null })
  t.strictSame((await copy.get('/who')).json, { claims: null }, 'logged out')
})

test('a session without an id_token has no claims, and is one all the same', async (t) => {
  const { login } = await start(t)
  t.strictSame((await (await login({ scope: 'orders' })).get('/who')).json, { claims: {} })
})

test('claims are in sessions on the server as well, and end with them', async (t) => {
  const { browser, server } = await startSessionApp(t, {
    server: { idTokenClaims: { email: 'alice@example.com' } },
    routes: (app) => { app.get('/who', { config }, async (request) => ({ claims: await request.tokens.claims() })) }
  })
  await logIn(browser)
  t.match((await browser.get('/who')).json, { claims: { sub: server.settings.user, email: 'alice@example.com' } })
  await browser.post('/clear')
  t.strictSame((await browser.get('/who')).json, { claims: null })
})
