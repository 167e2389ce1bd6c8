import { test, type Test } from 'tap'
import type { RefreshedEvent, TokenParameters } from '../../lib/index.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Answer, Browser } from '../support/browser.ts'
import { ages, startScenario, type Scenario } from '../support/scenario.ts'
import type { TestAppOptions } from '../support/start-app.ts'

const api = 'https://api.example.com/'
const refreshed = { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] } as const

interface WishScenario extends Scenario {
  /** What `request.accessToken()` gives one request for these parameters, without the hook. */
  ask (browser: Browser, parameters: TokenParameters): Promise<Answer>
}

async function startWishes (t: Test, options: TestAppOptions = {}): Promise<WishScenario> {
  const scenario = await startScenario(t, {
    routes: (app) => {
      app.get<{ Headers: { parameters: string } }>('/wish', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken(JSON.parse(request.headers.parameters)) }))
    },
    ...options
  })
  return { ...scenario, ask: (browser, parameters) => browser.get('/wish', { parameters: JSON.stringify(parameters) }) }
}

test('R29 each resource and scope has its own token, and of a scope the order says nothing', async (t) => {
  const { server, login, ask, check } = await startWishes(t)
  const browser = await login({ scope: 'openid a b c' })
  const wishes: TokenParameters[] = [{ resource: api }, { scope: 'a b' }, { scope: 'a' }, { resource: api, scope: 'a b' }, { resource: api.slice(0, -1) }]
  const tokens: unknown[] = []
  for (const wish of wishes) {
    const answer = await ask(browser, wish)
    await check(answer, refreshed, JSON.stringify(wish))
    tokens.push(answer.json.token)
    t.match(server.whoHas(String(answer.json.token)), { ...wish })
  }
  t.equal(new Set(tokens).size, wishes.length)
  for (const scope of ['b a', ' a  b ', 'a b a']) {
    const same = await ask(browser, { scope })
    await check(same, { status: 200 })
    t.equal(same.json.token, tokens[1])
  }
  for (const scope of ['', '  ']) t.equal((await ask(browser, { scope })).json.token, (await ask(browser, {})).json.token, 'no scope is the login\'s own')
  t.match((await browser.get('/tokens')).json, { generation: wishes.length })
})

test('parallel wishes that say the same in another order cost one refresh', async (t) => {
  const { server, login, ask, atOnce } = await startWishes(t)
  const browser = await login({ scope: 'openid a b' })
  const gate = server.hold()
  const answers = await atOnce(gate, ['a b', 'b a', ' b a '].map((scope) => () => ask(browser.clone(), { scope })))
  t.equal(new Set(answers.map(({ json }) => json.token)).size, 1)
  t.equal(server.tokenRequests, 1)
})

test('R29 a resource or scope that cannot be is refused before anything is spent', async (t) => {
  const { login, ask, check, clock } = await startWishes(t)
  const browser = await login()
  clock.now += ages.expired
  for (const wish of [{ resource: 'orders' }, { resource: `${api}#a` }, { resource: '//api.example.com' }, { resource: '' }, { resource: 7 }, { scope: 'a"b' }, { scope: 'a\nb' }, { scope: ['a'] }]) {
    await check(await ask(browser, JSON.parse(JSON.stringify(wish))), { status: 500, code: 'FST_TOKEN_INVALID_PARAMETERS' }, JSON.stringify(wish))
  }
  await check(await ask(browser, {}), refreshed, 'and nothing is lost')
})

test('R6 a scope beyond the grant is the service\'s to refuse: 502, and the session is as it was', async (t) => {
  const { login, ask, check, clock } = await startWishes(t)
  const browser = await login({ scope: 'openid a' })
  await check(await ask(browser, { scope: 'a admin' }), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1, told: ['failed: refused'] })
  clock.now += 6
  await check(await ask(browser, { scope: 'a' }), refreshed)
})

test('R46 R47 onRefreshed is told the claims of a new id_token, and of no other', async (t) => {
  const events: RefreshedEvent[] = []
  const { server, loginAged } = await startScenario(t, { onRefreshed: (event) => { events.push(event) } })
  const browser = await loginAged(0)
  server.settings.idTokenClaims = { acr: 'phr', groups: ['a'] }
  await browser.get('/renew')
  server.fault(faults.without('id_token'))
  await browser.get('/renew')
  server.fault(faults.idToken({ sub: 'mallory' }))
  await browser.clone().get('/renew')
  await new Promise(setImmediate)
  t.match(events.map(({ claims }) => claims), [{ iss: server.issuer, sub: 'alice', aud: 'web', acr: 'phr', groups: ['a'] }, undefined])
  t.equal(events.length, 2)
})
