/* The Cookie header as it comes: what is ours is found in it without parsing or decoding the rest, and what is not costs nothing. */
import fc from 'fast-check'
import { fastifyCookie } from '@fastify/cookie'
import { test, type Test } from 'tap'
import { cookiesNamed } from '../../../lib/stores/cookie/cookie-header.ts'
import { startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { startApp, type TestAppOptions } from '../../support/start-app.ts'

const name = '__Host-tokens'

async function start (t: Test, options: TestAppOptions = {}) {
  const server = await startAuthorizationServer({ expiresIn: 300 })
  t.teardown(() => server.close())
  return { server, ...await startApp(t, server, options) }
}

test('names match to the character, whatever stands around them', (t) => {
  const found = (header: string) => cookiesNamed(header, name).map(({ name, value }) => `${name}=${value}`)
  const ours = `${name}=1.x`
  for (const header of [ours, `a=1; ${ours}`, `${ours}; a=1`, `a=1;${ours};b=2`, `a=1; \t ${ours} \t; b=2`, `; ;;${ours};`, `a=%; ${ours}; b=%`]) t.strictSame(found(header), [ours], header)
  t.strictSame(found(`${name}.1=b; ${name}.0=a; ${ours}; ${ours}`), [`${name}.1=b`, `${name}.0=a`, ours, ours])
  t.strictSame(found(`${name}=a=b"c%20`), [`${name}=a=b"c%20`], 'values are as they are')
  for (const header of [
    '', name, `${name};`, `${name}=`, `${name}= ; a=1`, `x${ours}`, `a=${ours}`, `a b${ours}`, `${name}x=1`, `${name} =1`, `${name}.=1`, `${name}.00=1`, `${name}.x=1`, `${name}-1=1`,
    ours.toLowerCase(), `${name}${name}=1`.slice(1)
  ]) t.strictSame(found(header), [], header)
  t.end()
})

test('where it finds a cookie, a parser of all of them finds the same', (t) => {
  const part = fc.oneof(fc.constantFrom(name, `${name}.0`, `${name}.1`, '=', ';', '; ', ' ', '\t', '1.a', 'x', '.', '0'), fc.string({ maxLength: 3 }))
  fc.assert(fc.property(fc.array(part, { maxLength: 30 }).map((parts) => parts.join('')), (header) => {
    const parsed = fastifyCookie.parse(header, { decode: (value) => value })
    const first = new Map(cookiesNamed(header, name).toReversed().map(({ name, value }) => [name, value]))
    return [...first].every(([name, value]) => parsed[name] === undefined || parsed[name] === '' || parsed[name] === value.replace(/^"(.*)"$/, '$1'))
  }), { numRuns: 20_000 })
  t.pass('of 20,000 headers')
  t.end()
})

test('F49 nothing of a hostile header is decoded, on no route', async (t) => {
  const { app } = await start(t, { fastify: { logger: false }, login: { callbackUri: 'https://app.example.com/auth/callback', scope: ['openid'] } })
  let decoded = 0
  const { decodeURIComponent } = globalThis
  t.teardown(() => { globalThis.decodeURIComponent = decodeURIComponent })
  globalThis.decodeURIComponent = (text) => { decoded++; return decodeURIComponent(text) }
  const hostile = {
    'escapes that are none': Array.from({ length: 3000 }, (_, index) => `${index % 10}=%`).join(';'),
    'escapes that are some': 'a=%20;'.repeat(2500),
    'our name again and again': `${name}=%;`.repeat(900),
    'our name in our name': name.repeat(1100)
  }
  for (const [title, cookie] of Object.entries(hostile)) {
    for (const [url, status] of [['/nothing', 404], ['/optional', 200], ['/token', 401]] as const) {
      const answer = await app.inject({ url, headers: { cookie } })
      t.equal(answer.statusCode, status, title)
      t.equal(answer.headers['set-cookie'], undefined)
    }
  }
  t.equal(decoded, 0)
})

test('of many cookies of our name only a few are tried, and the genuine one among them opens', async (t) => {
  const { app, login, log } = await start(t)
  const browser = await login()
  const genuine = browser.header
  const forged = `${name}=1.0.${genuine.split('.')[2]}.${'A'.repeat(24)}.${'B'.repeat(32)}`
  const tokenOf = async (...cookies: string[]) => (await app.inject({ url: '/optional', headers: { cookie: cookies.join('; ') } })).json().token
  t.type(await tokenOf(genuine), 'string')
  for (const cookies of [[forged, genuine], [genuine, forged], [`${name}=`, forged, `${name}=x`, forged, genuine, `${name}=1.`]]) t.type(await tokenOf(...cookies), 'string', 'of two of one name any that opens')
  log.length = 0
  t.equal(await tokenOf(...Array.from({ length: 200 }, () => forged)), null)
  const tried = log.filter((line) => line.includes('unable to decrypt')).length
  t.ok(tried > 0 && tried <= 16, `${tried} tries`)
})

test('chunks that come twice, of two paths, are put together in any way that opens', async (t) => {
  const { app, login, server } = await start(t)
  server.settings.tokenBytes = 1600
  const [one, other] = [await login({ scope: 'orders' }), await login({ scope: 'orders' })]
  t.equal(one.cookies.size, 2)
  const chunk = (of: typeof one, index: number) => `${name}.${index}=${of.cookies.get(`${name}.${index}`)}`
  const tokenOf = async (...cookies: string[]) => (await app.inject({ url: '/optional', headers: { cookie: cookies.join('; ') } })).json().token
  const tokens = [await tokenOf(one.header), await tokenOf(other.header)]
  t.match(tokens, [String, String])
  t.ok(tokens.includes(await tokenOf(chunk(one, 0), chunk(one, 1), chunk(other, 0), chunk(other, 1))))
  t.ok(tokens.includes(await tokenOf(chunk(one, 0), chunk(other, 1), chunk(other, 0), chunk(one, 1))))
  t.equal(await tokenOf(chunk(other, 1), chunk(one, 0), chunk(one, 1)), tokens[0], 'where one of the other is left over')
})

test('F50 keys that reach the instances one after the other log nobody out, if all of them can open the new one first', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  const [old, next] = [Buffer.alloc(32, 'o'), Buffer.alloc(32, 'n')]
  const keys = { before: old, first: [old, next], second: [next, old], after: next }
  const apps = Object.fromEntries(await Promise.all(Object.entries(keys).map(async ([step, key]) => [step, await startApp(t, server, { session: { key } })] as const)))
  const browser = await apps.before?.login()
  const token = async (step: keyof typeof keys) => {
    const { statusCode, cookies } = await apps[step]?.app.inject({ url: '/token', headers: { cookie: browser?.header ?? '' } }) ?? {}
    for (const { name, value } of cookies ?? []) browser?.cookies.set(name, value)
    return statusCode
  }
  for (const step of ['first', 'before', 'first', 'second', 'first', 'second', 'after', 'second'] as const) t.equal(await token(step), 200, step)

  const early = await apps.second?.login()
  const answer = await apps.before?.app.inject({ url: '/token', headers: { cookie: early?.header ?? '' } })
  t.match(answer, { statusCode: 401, cookies: [] }, 'an instance that does not have the key yet takes nothing away')
  t.equal((await early?.get('/token'))?.status, 200)
})

test('F50 what does not open goes at a login and at a logout, and no sooner', async (t) => {
  const { server, login, clock } = await start(t, {
    routes: (app) => {
      app.post('/clear', async (request) => { await request.tokens.clear() })
      app.post<{ Headers: { token: string } }>('/in', async (request) => { await request.tokens.save({ access_token: request.headers.token, token_type: 'bearer' }); return {} })
    }
  })
  const browser = await login()
  const foreign = { [`${name}.0`]: '2.0.abcd.foreign', [`${name}.1`]: 'foreign', [`${name}.5`]: 'x' }
  const dirty = () => {
    const copy = browser.clone()
    for (const [name, value] of Object.entries(foreign)) copy.cookies.set(name, value)
    return copy
  }
  const refreshed = dirty()
  clock.now += 301
  t.equal((await refreshed.get('/token')).status, 200)
  t.strictSame([...refreshed.cookies.keys()], [name, ...Object.keys(foreign)], 'a refresh leaves it alone')
  const [loggedIn, loggedOut] = [dirty(), dirty()]
  await loggedIn.post('/in', { token: (await server.issue()).access_token })
  t.strictSame([...loggedIn.cookies.keys()], [name])
  await loggedOut.post('/clear')
  t.strictSame([...loggedOut.cookies.keys()], [])
})

test('one and the same session opens under one text alone: base64 with other last bits is not taken', async (t) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const { app, save } = await start(t, { fastify: { logger: false } })
  const lengths = new Set<number>()
  for (let length = 1; length < 8; length++) {
    const value = (await save({ access_token: 'x'.repeat(length), token_type: 'Bearer' })).cookies.get(name) ?? ''
    const end = value.lastIndexOf('.')
    const cipher = value.slice(value.lastIndexOf('.', end - 1) + 1, end)
    lengths.add(cipher.length % 4)
    const opening = []
    for (const last of alphabet) {
      const { body } = await app.inject({ url: '/optional', headers: { cookie: `${name}=${value.slice(0, end - 1)}${last}${value.slice(end)}` } })
      if (!body.includes('null')) opening.push(last)
    }
    t.strictSame(opening, [value.charAt(end - 1)])
  }
  t.ok(lengths.has(2) || lengths.has(3), 'some of them have last bits that say nothing')
})
