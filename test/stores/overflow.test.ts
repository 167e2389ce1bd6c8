import { randomBytes } from 'node:crypto'
import { test, type Test } from 'tap'
import type { TokenSet, TokenStore } from '../../lib/index.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { sessionKey, startApp, type TestAppOptions } from '../support/start-app.ts'

const noise = (length: number) => randomBytes(length).toString('base64url').slice(0, length)
const apis = ['a', 'b', 'c', 'd', 'e'].map((name) => `https://${name}.example.com`)

/** Tokens of 900 characters that nothing makes smaller: a session has room for its refresh token and three others. */
const tokenBytes = 675
const session = { key: sessionKey, maxCookieBytes: 5800 }

async function start (t: Test, server: AuthorizationServer, options: TestAppOptions = {}) {
  return await startApp(t, server, {
    session,
    routes: (app) => {
      app.get<{ Querystring: { resource: string } }>('/api', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken({ resource: request.query.resource }) }))
      app.get('/set', { config: { tokens: false } }, async (request) => ({ set: await request.tokens.get() }))
    },
    ...options
  })
}

async function startServer (t: Test): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ tokenBytes, expiresIn: 3600 })
  t.teardown(() => server.close())
  return server
}

/** The same browser at another app. */
const at = (browser: Browser, origin: string) => Object.assign(new Browser(origin), { cookies: browser.cookies })
const ask = async (browser: Browser, resource: string) => await browser.get(`/api?resource=${encodeURIComponent(resource)}`)

test('F1 five APIs and room for three: at two apps with one key, each token is asked for once in its lifetime and app, and no refresh token twice', async (t) => {
  const server = await startServer(t)
  const [first, second] = [await start(t, server), await start(t, server)]
  server.settings.clock = () => first.clock.now
  const browser = await first.login()
  for (let lifetime = 0; lifetime < 2; lifetime++) {
    const before = server.refreshes
    for (let call = 0; call < 100; call++) {
      for (const app of [first, second]) {
        app.clock.now = first.clock.now
        const there = at(browser, app.origin)
        const resource = apis[call % apis.length] ?? ''
        const { status, json } = await ask(there, resource)
        t.equal(status, 200)
        t.equal(server.whoHas(String(json.token))?.resource, resource)
      }
      first.clock.now += 20
    }
    t.ok(server.refreshes - before <= 2 * apis.length, `${server.refreshes - before} refreshes`)
    first.clock.now += 1700
  }
  t.ok(server.families.every(({ alive }) => alive), 'no refresh token was sent twice')
  t.equal([first, second].flatMap(({ log }) => log.filter((line) => line.includes('has outgrown its store'))).length, 2, 'said once in each app')
  t.match(first.log.find((line) => line.includes('has outgrown')), /"level":40.*It holds: access token 900/)
})

test('F1 what is kept of a session that is too large: the newest refresh token, what was just issued, and the youngest of the others', async (t) => {
  const server = await startServer(t)
  const { login, clock, app } = await start(t, server)
  server.settings.clock = () => clock.now
  const browser = await login()
  for (const resource of apis) {
    clock.now += 60
    t.equal((await ask(browser, resource)).status, 200)
  }
  const other = await start(t, server)
  other.clock.now = clock.now
  const kept: TokenSet = (await at(browser, other.origin).get('/set')).json.set as TokenSet
  t.equal(kept.refreshToken, server.families[0]?.newestRefreshToken)
  t.strictSame(kept.accessTokens.map(({ resource, accessToken }) => [resource, accessToken !== '']).slice(1), [['https://c.example.com', true], ['https://d.example.com', true], ['https://e.example.com', true]])
  t.equal(kept.generation, 6, 'the other app had to ask for the login\'s own token, and kept its place')
  const all: TokenSet = (await app.inject({ url: '/set', headers: { cookie: browser.header } })).json().set
  t.strictSame(all.accessTokens.flatMap(({ resource, accessToken }) => accessToken === '' ? [] : resource ?? 'the login\'s').sort(), [...apis, 'the login\'s'],
    'the process that has left them out still knows them')
})

test('F1 parallel requests on a session that is too large get the same cookie, and expired tokens make room first', async (t) => {
  const server = await startServer(t)
  const { login, clock } = await start(t, server)
  server.settings.clock = () => clock.now
  const browser = await login()
  for (const resource of apis.slice(0, 3)) await ask(browser, resource)
  clock.now += 3601
  const answers = await Promise.all(Array.from({ length: 10 }, async () => await ask(browser.clone(), apis[0] ?? '')))
  t.equal(new Set(answers.map(({ setCookies }) => setCookies.join())).size, 1)
  t.ok(answers.every(({ status, setCookies }) => status === 200 && setCookies.length > 0))
})

for (const code of ['FST_TOKEN_SESSION_TOO_LARGE', 'ENOSPC']) {
  test(`F1 a store of the app that throws ${code} ${code === 'ENOSPC' ? 'has failed, and is written by a later request' : 'gets what fits'}`, async (t) => {
    const server = await startServer(t)
    let stored: TokenSet | null = null
    let isFull = false
    const store: TokenStore = {
      get: () => stored,
      set: (_context, tokens) => {
        if (isFull && tokens.accessTokens.filter(({ accessToken }) => accessToken !== '').length > 1) throw Object.assign(new Error('no room'), { code })
        stored = tokens
      },
      clear: () => { stored = null }
    }
    const { login, log } = await start(t, server, { session: {}, before: (app) => app.decorate('tokenStore', store) })
    const browser = await login()
    isFull = true
    t.equal((await ask(browser, apis[0] ?? '')).status, 200)
    const { refreshToken }: Partial<TokenSet> = stored ?? {}
    t.equal(refreshToken === server.families[0]?.newestRefreshToken, code !== 'ENOSPC')
    t.equal(log.some((line) => line.includes('"level":50')), code === 'ENOSPC')
  })
}

test('F1 a token that is too large by itself costs nobody the new refresh token', async (t) => {
  const server = await startServer(t)
  const { login, clock } = await start(t, server)
  server.settings.clock = () => clock.now
  const browser = await login()
  server.fault({ alter: (answer) => ({ ...answer, body: { ...Object(answer.body), access_token: noise(9000) } }) })
  const large = await ask(browser, apis[0] ?? '')
  t.equal(large.status, 200)
  t.ok(large.setCookies.length > 0)
  t.equal((await ask(browser, apis[0] ?? '')).json.token, large.json.token, 'this process remembers it')
  t.equal(server.refreshes, 1)
  const other = await start(t, server)
  other.clock.now = clock.now
  t.equal((await ask(at(browser, other.origin), apis[1] ?? '')).status, 200)
  t.equal(server.families[0]?.alive, true)
})

test('what fits in no way is not written, however often it is tried', async (t) => {
  const server = await startServer(t)
  const { login, log, clock } = await start(t, server, { session: { key: sessionKey, maxCookieBytes: 4000 } })
  server.settings.clock = () => clock.now
  const browser = await login()
  server.fault({ alter: (answer) => ({ ...answer, body: { ...Object(answer.body), refresh_token: noise(9000) } }) })
  clock.now += 3601
  for (let call = 0; call < 2; call++) t.match(await browser.get('/token'), { status: 200, setCookies: [] })
  t.equal(log.filter((line) => /"level":50.*FST_TOKEN_SESSION_TOO_LARGE/.test(line)).length, 2)
})
