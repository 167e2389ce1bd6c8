/* Sessions that need more than one cookie, or do not fit at all. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { test, type Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { faults } from '../../support/authorization-server/faults.ts'
import type { Settings } from '../../support/authorization-server/settings.ts'
import type { Answer, Browser } from '../../support/browser.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from '../../support/start-app.ts'

const name = '__Host-tokens'
const attributes = 'Path=/; HttpOnly; Secure; SameSite=Lax'
const deletion = (cookie: string) => `${cookie}=; Max-Age=0; ${attributes}`
const chunk = (index: number) => `${name}.${index}`

/** Random bytes in each of two tokens that make a session of so many cookies. */
const bytesFor = { 1: 500, 2: 1600, 3: 2600 }

interface Stage extends TestApp { server: AuthorizationServer }

async function start (t: Test, { server: settings, ...options }: TestAppOptions & { server?: Partial<Settings> } = {}): Promise<Stage> {
  const server = await startAuthorizationServer({ expiresIn: 60, ...settings })
  t.teardown(() => server.close())
  return { server, ...await startApp(t, server, { session: { key: sessionKey, maxCookieBytes: 16_000 }, ...options }) }
}

const names = (browser: Browser) => [...browser.cookies.keys()].sort()
const deleted = ({ setCookies }: Answer) => setCookies.filter((cookie) => cookie.includes('Max-Age=0')).sort()

/** A random text that no compression makes smaller. */
const noise = (length: number) => randomBytes(length).toString('base64url').slice(0, length)

test('R51 R52 a session grows to two and three cookies and shrinks again, and no chunk is left over', async (t) => {
  const { server, clock, login } = await start(t)
  const browser = await login({ scope: 'orders' })
  t.strictSame(names(browser), [name])
  const steps = [
    { count: 3, has: [chunk(0), chunk(1), chunk(2)], deletes: [name] },
    { count: 2, has: [chunk(0), chunk(1)], deletes: [chunk(2)] },
    { count: 3, has: [chunk(0), chunk(1), chunk(2)], deletes: [] },
    { count: 1, has: [name], deletes: [chunk(0), chunk(1), chunk(2)] },
    { count: 2, has: [chunk(0), chunk(1)], deletes: [name] }
  ] as const
  for (const { count, has, deletes } of steps) {
    server.settings.tokenBytes = bytesFor[count]
    clock.now += 61
    const answer = await browser.get('/token')
    t.equal(answer.status, 200)
    t.strictSame(names(browser), has, `${count}`)
    t.strictSame(deleted(answer), deletes.map(deletion), 'R53 with the attributes that they were set with')
    for (const [cookie, value] of browser.cookies) t.ok(cookie.length + value.length <= 4096, `${cookie} is kept by browsers`)
    t.match(await browser.get('/token'), { status: 200, setCookies: [], json: { token: answer.json.token } })
  }
  t.equal(server.refreshes, steps.length)
})

test('a logout deletes every chunk that there can be, also those that a response on its way has brought', async (t) => {
  const { server, clock, login } = await start(t, { routes: (app) => { app.post('/clear', async (request) => { await request.tokens.clear() }) } })
  const browser = await login({ scope: 'orders' })
  const before = browser.clone()
  server.settings.tokenBytes = bytesFor[3]
  clock.now += 61
  await browser.get('/token')
  const { setCookies } = await before.post('/clear')
  t.strictSame(setCookies, [name, chunk(0), chunk(1), chunk(2), chunk(3)].map(deletion))
  t.equal((await browser.get('/token')).status, 401)
})

test('chunks of two sessions mixed, one missing, doubled, in another order, cut off, of another name or key: the newest whole session or none, and never an error', async (t) => {
  const { server, clock, login, app } = await start(t, { fastify: { logger: false }, server: { tokenBytes: bytesFor[3] } })
  const elsewhere = await startApp(t, server, { session: { key: Buffer.alloc(32, 'x'), maxCookieBytes: 16_000 } })
  const ofOtherKey = (await elsewhere.login({ scope: 'orders' })).cookies
  const browser = await login({ scope: 'orders' })
  const old = new Map(browser.cookies)
  server.settings.expiresIn = 3600
  clock.now += 61
  const newest = (await browser.get('/token')).json.token
  const own = new Map(browser.cookies)
  clock.now += 61
  server.settings.tokenBytes = bytesFor[1]
  const small = await login({ scope: 'orders' })
  const single = (await small.get('/token')).json.token
  const whole = [chunk(0), chunk(1), chunk(2)]
  const of = (cookies: Map<string, string>, ...wanted: string[]) => wanted.map((each) => `${each}=${cookies.get(each) ?? ''}`)

  const cases: Record<string, { cookies: string[], token: unknown }> = {
    whole: { cookies: of(own, ...whole), token: newest },
    'in another order, between others': { cookies: ['a=1', ...of(own, chunk(2), chunk(0)), `x${name}.1=x`, ...of(own, chunk(1)), 'b=2'], token: newest },
    'with chunks left over': { cookies: [...of(own, ...whole), `${chunk(3)}=left`, `${chunk(7)}=over`], token: newest },
    'the same twice': { cookies: [...of(own, ...whole), ...of(own, ...whole)], token: newest },
    'beside a whole one that is newer': { cookies: [...of(small.cookies, name), ...of(own, ...whole)], token: single },
    'beside a single one that is broken': { cookies: [`${name}=1.0.abcd.broken`, ...of(own, ...whole)], token: newest },
    'two generations mixed': { cookies: [...of(own, chunk(0)), ...of(old, chunk(1)), ...of(own, chunk(2))], token: null },
    'the first one missing': { cookies: of(own, chunk(1), chunk(2)), token: null },
    'one in the middle missing': { cookies: of(own, chunk(0), chunk(2)), token: null },
    'the last one missing': { cookies: of(own, chunk(0), chunk(1)), token: null },
    'the wrong way round': { cookies: [`${chunk(0)}=${own.get(chunk(1))}`, `${chunk(1)}=${own.get(chunk(0))}`, ...of(own, chunk(2))], token: null },
    'one cut off': { cookies: [...of(own, chunk(0)), `${chunk(1)}=${own.get(chunk(1))?.slice(0, 1000)}`, ...of(own, chunk(2))], token: null },
    'of another name': { cookies: whole.map((each, index) => `${name}-${index}=${own.get(each)}`), token: null },
    'of another key': { cookies: of(ofOtherKey, ...whole), token: null },
    'one of another key': { cookies: [...of(own, chunk(0), chunk(1)), ...of(ofOtherKey, chunk(2))], token: null },
    'names that only begin like it': { cookies: [`${name}.00=${own.get(chunk(0))}`, `${name}.1x=${own.get(chunk(1))}`], token: null }
  }
  for (const [title, { cookies, token }] of Object.entries(cases)) {
    const { statusCode, body } = await app.inject({ url: '/optional', headers: { cookie: cookies.join('; ') } })
    t.equal(statusCode, 200, title)
    t.strictSame(JSON.parse(body), { token }, title)
  }
})

test('any byte of any chunk changed: never an error, and never another session', async (t) => {
  const { app, login } = await start(t, { fastify: { logger: false }, server: { tokenBytes: bytesFor[3] } })
  const { cookies } = await login({ scope: 'orders' })
  const tokenOf = async (cookie: string): Promise<unknown> => {
    const { statusCode, body } = await app.inject({ url: '/optional', headers: { cookie } })
    if (statusCode !== 200) throw new Error(`${statusCode} ${body}`)
    return JSON.parse(body).token
  }
  const header = [...cookies].map((pair) => pair.join('=')).join('; ')
  const genuine = await tokenOf(header)
  t.type(genuine, 'string')
  const byte = fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code))
  const outcomes = new Set<unknown>()
  await fc.assert(fc.asyncProperty(fc.nat(header.length - 1), fc.string({ unit: byte, maxLength: 2 }), async (at, bytes) => {
    const token = await tokenOf(header.slice(0, at) + bytes + header.slice(at + 1))
    outcomes.add(token)
    return token === null || token === genuine
  }), { numRuns: 3000 })
  t.ok(outcomes.has(null), 'most of them do not open')
})

test('the id_token is left out where it would make the session large: said once, and a refreshed one is checked all the same', async (t) => {
  const { server, clock, login, log } = await start(t, {
    server: { idTokenClaims: { padding: noise(3000) } },
    routes: (app) => { app.get('/id-token', async (request) => ({ idToken: (await request.tokens.get())?.idToken ?? null })) }
  })
  const browser = await login()
  await login()
  t.equal((await browser.get('/id-token')).json.idToken, null)
  const said = log.filter((line) => /without the id_token/.test(line))
  t.match(said, [/"level":30/])
  t.equal(said.length, 1)

  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  server.fault(faults.idToken({ sub: 'mallory' }))
  clock.now += 61
  t.match(await browser.get('/token'), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED' } }, 'R46')
})

test('an id_token rides along while the response stays small enough for a stock nginx', async (t) => {
  const { app, server } = await start(t, { routes: (app) => { app.get('/id-token', async (request) => ({ idToken: (await request.tokens.get())?.idToken ?? null })) } })
  let kept = 0
  let largest = 0
  for (let padding = 800; padding < 2400; padding += 25) {
    server.settings.idTokenClaims = { padding: noise(padding) }
    const { cookies, headers } = await app.inject({ method: 'POST', url: '/save', payload: await server.issue() })
    const answer = await app.inject({ url: '/id-token', cookies: Object.fromEntries(cookies.map(({ name, value }) => [name, value])) })
    if (answer.json().idToken === null) break
    kept = padding
    largest = [headers['set-cookie'] ?? []].flat().join('').length
  }
  t.ok(kept >= 1200 && kept < 2000, `the largest that rides along is padded with ${kept} characters`)
  t.ok(largest > 3400 && largest <= 3500, `of ${largest} bytes in all`)
})

test('a session over the budget is refused with the size of each token, and with what to do', async (t) => {
  const { app, server } = await start(t, { session: { key: sessionKey } })
  const tokens = { ...await server.issue(), access_token: noise(4500), refresh_token: noise(1500), id_token: noise(900) }
  const answer = await app.inject({ method: 'POST', url: '/save', payload: tokens })
  t.equal(answer.statusCode, 500)
  const { code, message } = answer.json()
  t.equal(code, 'FST_TOKEN_SESSION_TOO_LARGE')
  t.match(message, /would take \d{4,5} bytes of cookies, and session\.maxCookieBytes allows 8000\. It holds: access token 4500, refresh token 1500, id_token 900\./)
  t.match(message, /register @fastify\/session, or give tokenStore: redisTokenStore\(\{ redis \}\)/)
  t.notOk([tokens.access_token, tokens.refresh_token, tokens.id_token].some((token) => message.includes(token)))
  t.equal(answer.headers['set-cookie'], undefined)
})

test('the budget holds to the byte, names included', async (t) => {
  const { app } = await start(t, { session: { key: sessionKey, maxCookieBytes: 5000 } })
  const sizeWith = async (length: number): Promise<number | undefined> => {
    const { cookies } = await app.inject({ method: 'POST', url: '/save', payload: { access_token: noise(length), token_type: 'Bearer' } })
    return cookies.length === 0 ? undefined : cookies.map(({ name, value }) => `${name}=${value}`).join('; ').length
  }
  const sizes: number[] = []
  let length = 3100
  for (let size = await sizeWith(length); size !== undefined; size = await sizeWith(length)) {
    sizes.push(size)
    length++
  }
  const largest = Math.max(...sizes)
  t.ok(largest > 4990 && largest <= 5000, `the largest is ${largest}`)
})

test('a refresh whose tokens do not fit serves the request, keeps the refresh token, and says what it has left out', async (t) => {
  const { server, login, clock, logged } = await start(t)
  const browser = await login()
  server.settings.tokenBytes = 8000
  clock.now += 61
  const { status, json, setCookies } = await browser.get('/token')
  t.equal(status, 200)
  t.equal(String(json.token).length, 10_667)
  t.ok(setCookies.length > 0)
  t.match(await logged(/has outgrown its store/), /"level":40.*It holds: access token 10667, refresh token 10667/)
  t.equal((await browser.get('/token')).json.token, json.token, 'the successor is remembered')
  t.equal(server.refreshes, 1)
})
