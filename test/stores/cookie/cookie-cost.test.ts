/* What the session costs a request: it is opened when somebody asks for it, and the same cookie once. */
import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { OpenedCookies } from '../../../lib/stores/cookie/opened-cookies.ts'
import type { Browser } from '../../support/browser.ts'
import { startApp, type TestApp, type TestAppOptions } from '../../support/start-app.ts'

const name = '__Host-tokens'
const [oldKey, newKey] = [Buffer.alloc(32, 'o'), Buffer.alloc(32, 'n')]

interface Stage extends TestApp {
  server: AuthorizationServer
  /** Cookies that were opened since the last call. */
  opened (): number
}

async function startServer (t: Test): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ expiresIn: 600 })
  t.teardown(() => server.close())
  return server
}

/** A test can count what the plugin's own @fastify/secure-session opens. `GET /plain` asks for nothing. */
async function start (t: Test, { session, ...options }: TestAppOptions = {}): Promise<Stage> {
  const server = await startServer(t)
  let opened = 0
  const stage = await startApp(t, server, {
    session: { key: newKey, ...session },
    before: (app) => app.addHook('onRegister', (context) => {
      const decorate: (name: string, value: unknown) => FastifyInstance = context.decorate.bind(context)
      Object.assign(context, { decorate: (name: string, value: FastifyInstance['decodeSecureSession']) => decorate(name, name === 'decodeSecureSession' ? counting(value) : value) })
    }),
    routes: plain,
    ...options
  })

  function counting (decode: FastifyInstance['decodeSecureSession']): FastifyInstance['decodeSecureSession'] {
    return (...sealed) => {
      opened++
      return decode(...sealed)
    }
  }

  return { ...stage, server, opened: () => { const count = opened; opened = 0; return count } }
}

function plain (app: FastifyInstance): void {
  app.get('/plain', async () => ({}))
  app.get('/of-resource', { config: { tokens: { resource: 'https://api.example.com' } } }, async () => ({}))
  app.post('/clear', async (request) => { await request.tokens.clear() })
}

const hintOf = (browser: Browser) => Number(browser.cookies.get(name)?.split('.')[1])

/** The same cookie, with another hint. */
function withHint (browser: Browser, dueAt: string): Browser {
  const tampered = browser.clone()
  const [count, , ...rest] = (browser.cookies.get(name) ?? '').split('.')
  tampered.cookies.set(name, [count, dueAt, ...rest].join('.'))
  return tampered
}

test('a request that asks for no token opens nothing, until the hint in clear says that a refresh is due', async (t) => {
  const { login, clock, server, opened } = await start(t)
  clock.now = Math.floor(clock.now)
  const browser = await login()
  t.equal(hintOf(browser), clock.now + 540, 'the window before the expiry begins then')
  const fresh = browser.clone()
  opened()
  const loggedInAt = clock.now
  for (const age of [0, 300, 539]) {
    clock.now = loggedInAt + age
    t.match(await fresh.get('/plain'), { status: 200, setCookies: [] })
  }
  t.equal(opened(), 0)
  clock.now += 1
  t.match((await browser.get('/plain')).setCookies, [/^__Host-tokens=/])
  t.equal(server.refreshes, 1)
  t.match(await browser.get('/plain'), { status: 200, setCookies: [] })
  t.equal(hintOf(browser), clock.now + 540)
})

test('the hint speaks for the login\'s own token: a route for another resource has its session opened', async (t) => {
  const { login, server, opened } = await start(t)
  const browser = await login()
  opened()
  t.match((await browser.get('/of-resource')).setCookies, [/^__Host-tokens=/])
  t.equal(opened(), 1)
  t.equal(server.refreshes, 1)
})

test('a cookie that was seen before is not opened again; after a logout it is forgotten', async (t) => {
  const { login, opened } = await start(t)
  const browser = await login()
  const stale = browser.clone()
  opened()
  for (let round = 0; round < 5; round++) t.equal((await browser.get('/token')).status, 200)
  t.ok(opened() <= 1)
  t.equal((await browser.post('/clear')).status, 200)
  opened()
  t.equal((await stale.get('/optional')).json.token, null)
  t.equal(opened(), 1, 'nothing of it is left in memory')
})

test('a request whose token is at hand waits for nothing, however often it asks', async (t) => {
  const order: string[] = []
  const { login, opened } = await start(t, {
    routes: (app) => app.get('/order', { config: { tokens: { required: true } } }, async (request) => {
      const asked = [request.accessToken(), request.accessToken({ optional: true }), request.accessToken({ forceRenewal: 'a token of before' })]
      asked.forEach((token, index) => token.then(() => order.push(`token ${index}`)))
      Promise.resolve().then(() => order.push('whoever asks next'))
      return { tokens: new Set(await Promise.all(asked)).size }
    })
  })
  const browser = await login()
  for (const times of [1, 0]) {
    order.length = 0
    opened()
    t.match(await browser.get('/order'), { json: { tokens: 1 }, setCookies: [] })
    t.strictSame(order, ['token 0', 'token 1', 'token 2', 'whoever asks next'])
    t.equal(opened(), times, 'a cookie that comes again is not opened again')
  }
})

test('nothing of another session comes out of the memory, whatever of its text a cookie ends with', async (t) => {
  const { app, login } = await start(t, { fastify: { logger: false } })
  const [alice, bob] = [await login(), await login()].map((browser) => browser.cookies.get(name) ?? '')
  const tokenOf = async (text = '') => {
    const { body } = await app.inject({ url: '/optional', headers: { cookie: `${name}=${text}` } })
    return JSON.parse(body).token
  }
  const [ofAlice, ofBob] = [await tokenOf(alice), await tokenOf(bob)]
  t.notOk(ofAlice === ofBob || ofAlice === null)
  const sealedFrom = bob?.split('.', 3).join('.').length ?? 0
  for (let end = sealedFrom + 2; end < (bob?.length ?? 0); end++) {
    const mixed = `${bob?.slice(0, end)}${alice?.slice(end)}`
    const token = await tokenOf(mixed)
    if (token !== null && mixed !== alice && mixed !== bob) t.fail(`of ${mixed.length} characters, ${end} are of another session`)
  }
  t.equal(await tokenOf(alice), ofAlice)
})

test('a hint that was tampered with changes when a session is opened, and never what is in it', async (t) => {
  const { login, clock, server, opened } = await start(t)
  const browser = await login()
  const { token } = (await browser.get('/token')).json
  for (const hint of ['0', '', '-1', 'x', 'NaN', '9'.repeat(400), '1e400', 'Infinity', '%30']) {
    const tampered = withHint(browser, hint)
    t.match(await tampered.get('/plain'), { status: 200 }, hint)
    t.match(await tampered.get('/token'), { status: 200, json: { token } }, hint)
  }
  t.equal(server.refreshes, 0)
  clock.now += 601
  const later = withHint(browser, '9999999999')
  t.match(await later.get('/plain'), { status: 200, setCookies: [] }, 'nobody asked, so nothing is due')
  const answer = await later.get('/token')
  t.equal(answer.status, 200)
  t.not(answer.json.token, token, 'who asks gets a current one')
  t.ok(opened() <= 3)
})

test('a session without a refresh token, or with a token that does not say when it expires, is opened for its inactivity time only', async (t) => {
  const { save, clock, opened } = await start(t, { session: { inactivityDuration: 2000 } })
  clock.now = Math.floor(clock.now)
  for (const tokens of [{ access_token: 'a', token_type: 'Bearer', expires_in: 100 }, { access_token: 'a', token_type: 'Bearer', refresh_token: 'r' }]) {
    const browser = await save(tokens)
    t.equal(hintOf(browser), clock.now + 1000)
    opened()
    t.match(await browser.get('/plain'), { status: 200, setCookies: [] })
    t.equal(opened(), 0)
    clock.now += 1000
    t.match((await browser.get('/plain')).setCookies, [/^__Host-tokens=/], 'rolled')
  }
})

test('whatever is put between the characters of a sealed cookie, it does not open under a second name', async (t) => {
  const { login, opened } = await start(t)
  const browser = await login()
  const value = browser.cookies.get(name) ?? ''
  opened()
  for (const junk of ['!', '=', '~', '.', '%20']) {
    for (const at of [value.length - 1, value.length - 20, value.length - 100]) {
      const variant = browser.clone()
      variant.cookies.set(name, value.slice(0, at) + junk + value.slice(at))
      t.equal((await variant.get('/optional')).json.token, null, `${junk} at ${at}`)
    }
  }
  t.equal(opened(), 0)
})

test('keys rotate: what an older key has sealed is sealed anew at its next response, and removing that key logs out only who was not seen since', async (t) => {
  const server = await startServer(t)
  const before = await startApp(t, server, { session: { key: oldKey }, routes: plain })
  const during = await startApp(t, server, { session: { key: [newKey, oldKey] }, routes: plain })
  const after = await startApp(t, server, { session: { key: newKey }, routes: plain })
  const [seen, unseen] = [await before.login(), await before.login()]
  const at = async ({ app }: TestApp, browser: Browser, url: string) => {
    const { statusCode, cookies } = await app.inject({ url, headers: { cookie: browser.header } })
    for (const { name, value } of cookies) browser.cookies.set(name, value)
    return { statusCode, cookies: cookies.length }
  }
  t.strictSame(await at(during, seen, '/plain'), { statusCode: 200, cookies: 1 }, 'no handler has to ask for it')
  t.strictSame(await at(during, seen, '/plain'), { statusCode: 200, cookies: 0 }, 'once')
  t.strictSame(await at(after, seen, '/token'), { statusCode: 200, cookies: 0 })
  t.equal((await at(after, unseen, '/token')).statusCode, 401)
  t.equal(server.refreshes, 0)
})

test('what is remembered of opened cookies is bounded in bytes, goes with time, and goes with its session', async (t) => {
  const clock = { now: 1_000_000 }
  const session = (sessionId: string) => ({ tokens: { sessionId, generation: 0, startedAt: 0, accessTokens: [], refreshToken: 'r'.repeat(3000) } })
  const sealed = (index: number) => `${String(index).padStart(4000, 'x')}.${String(index).padStart(32, 'n')}`
  const opened = new OpenedCookies<ReturnType<typeof session>>(() => clock.now)
  for (let index = 0; index < 10_000; index++) opened.remember(sealed(index), session(`s${index % 100}`), 3000)
  const known = () => Array.from({ length: 10_000 }, (_, index) => index).filter((index) => opened.get(sealed(index)) !== undefined)
  const after = known()
  t.ok(after.length > 3000 && after.length < 5000, `${after.length} of them`)
  t.equal(after.at(-1), 9999, 'the newest')
  t.equal(opened.get(sealed(9999).replace('x', 'y')), undefined, 'another cookie with the same nonce is another one')
  opened.forget('s99')
  t.equal(known().filter((index) => index % 100 === 99).length, 0)
  t.ok(opened.get(sealed(9998)))
  clock.now += 601
  opened.remember(sealed(1), session('s1'), 3000)
  t.strictSame(known(), [1])
})
