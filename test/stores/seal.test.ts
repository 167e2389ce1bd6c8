import secureSession from '@fastify/secure-session'
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { test, type Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { headersLike } from '../support/hostile-cookies.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from '../support/start-app.ts'

const name = '__Host-tokens'
const [oldKey, newKey, otherKey] = [Buffer.alloc(32, 'o'), Buffer.alloc(32, 'n'), Buffer.alloc(32, 'x')]

async function startServer (t: Test): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  return server
}

async function start (t: Test, options: TestAppOptions = {}): Promise<TestApp> {
  return await startApp(t, await startServer(t), options)
}

/** What `/optional` says to a Cookie header; anything but a 200 is a bug. */
async function tokenWith (app: FastifyInstance, cookie: string): Promise<{ token: unknown, setCookie: string }> {
  const { statusCode, body, headers } = await app.inject({ url: '/optional', headers: { cookie } })
  if (statusCode !== 200) throw new Error(`${statusCode} ${body}`)
  const answer: unknown = JSON.parse(body)
  const token = typeof answer === 'object' && answer !== null && 'token' in answer ? answer.token : undefined
  return { token, setCookie: String(headers['set-cookie'] ?? '') }
}

test('F50 a cookie that is cut off, of another key, or none of ours is left alone and logged at debug, and nobody is logged in', async (t) => {
  const server = await startServer(t)
  const { login, log } = await startApp(t, server)
  const browser = await login()
  const value = browser.cookies.get(name) ?? ''
  const [count = '', dueAt = '', keyId = '', cipher = '', nonce = ''] = value.split('.')
  const head = `${count}.${dueAt}.${keyId}.`
  const elsewhere = await startApp(t, server, { session: { key: otherKey } })
  const hostile: Record<string, string> = {
    'half of it': value.slice(0, value.length / 2),
    'its end': value.slice(value.length / 2),
    'no nonce': head + cipher,
    'an empty nonce': `${head}${cipher}.`,
    'a nonce too long': `${value}AAAA`,
    'no cipher': `${head}.${nonce}`,
    'a cipher too short': `${head}AAAA.${nonce}`,
    'both the wrong way round': `${head}${nonce}.${cipher}`,
    'no hint': `${cipher}.${nonce}`,
    'another count': `2${value.slice(1)}`,
    'only a count': '1.',
    twice: `${value}.${value}`,
    'percent-encoded nonsense': '%00%ff%',
    'secure-session\'s own form': `${cipher}%3B${nonce}`,
    'a JWT': 'eyJhbGciOiJub25lIn0.e30.',
    'a quoted text': '"x"',
    'a text': 'null',
    'of another key': (await elsewhere.login()).cookies.get(name) ?? ''
  }
  for (const [title, text] of Object.entries(hostile)) {
    log.length = 0
    const victim = browser.clone()
    victim.cookies.set(name, text)
    const answer = await victim.get('/token')
    t.equal(answer.status, 401, title)
    t.match(answer.json, { code: 'FST_TOKEN_UNAUTHENTICATED' }, title)
    t.strictSame(answer.setCookies, [], title)
    t.match(log.filter((line) => line.includes('does not open')), [/"level":20/], title)
    t.notOk(log.some((line) => line.includes(value) || (text.length > 8 && line.includes(text))), 'the log does not tell it')
  }
  browser.cookies.set(name, '')
  t.match(await browser.get('/token'), { status: 401, setCookies: [] }, 'an empty one is none')
})

test('a cookie with any one character changed does not open; in the hint it opens as what it is', async (t) => {
  const { app, login } = await start(t, { fastify: { logger: false } })
  const value = (await login()).cookies.get(name) ?? ''
  const genuine = (await tokenWith(app, `${name}=${value}`)).token
  t.type(genuine, 'string')
  const hint = { from: 1, to: value.split('.', 3).join('.').length }
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const others: unknown[] = []
  const deleted: number[] = []
  for (let position = 0; position < value.length; position++) {
    // The upper bit counts in every character of base64, the lower ones not in the last.
    const changed = alphabet[alphabet.indexOf(value.charAt(position)) ^ 32] ?? 'A'
    const { token, setCookie } = await tokenWith(app, `${name}=${value.slice(0, position)}${changed}${value.slice(position + 1)}`)
    const isHint = position > hint.from && position < hint.to && value.charAt(position) !== '.'
    if (token !== (isHint ? genuine : null)) others.push(position)
    if (setCookie !== '') deleted.push(position)
  }
  t.strictSame(others, [])
  t.strictSame(deleted, [])
})

test('no Cookie header makes an error, or another session than the one that was sealed: 50,000 random ones', async (t) => {
  let value = ''
  const { app, login } = await start(t, {
    fastify: { logger: false },
    routes: (app) => {
      // One request whose header is another one again and again: a request for each would take minutes.
      app.get('/hostile', { config: { tokens: false } }, async (request, reply) => {
        const context = { request, reply, provider: 'default' }
        const read = (header: string) => {
          request.raw.headers.cookie = header
          return app.tokenStore.get(context)
        }
        const genuine = await read(`${name}=${value}`)
        const outcomes = { genuine: 0, nobody: 0, other: 0 }
        fc.assert(fc.property(headersLike(name, value), (header) => {
          const tokens = read(header)
          const outcome = tokens === null ? 'nobody' : isDeepStrictEqual(tokens, genuine) ? 'genuine' : 'other'
          outcomes[outcome]++
        }), { numRuns: 50_000 })
        return outcomes
      })
    }
  })
  value = (await login()).cookies.get(name) ?? ''
  const { statusCode, body } = await app.inject('/hostile')
  t.equal(statusCode, 200, body)
  t.match(JSON.parse(body), { other: 0 })
  t.ok(JSON.parse(body).nobody > 40_000)
})

test('the first key seals, and all keys open: so they rotate', async (t) => {
  const server = await startServer(t)
  const before = await startApp(t, server, { session: { key: oldKey } })
  const during = await startApp(t, server, { session: { key: [newKey.toString('base64'), oldKey.toString('hex')] } })
  const after = await startApp(t, server, { session: { key: newKey } })
  const browser = await before.login()
  const opens = async ({ app }: TestApp): Promise<boolean> => (await tokenWith(app, browser.header)).token !== null

  t.ok(await opens(during))
  t.notOk(await opens(after))
  for (const each of [before, during, after]) each.clock.now += 61
  const renewed = await during.app.inject({ url: '/token', headers: { cookie: browser.header } })
  browser.cookies.set(name, renewed.cookies[0]?.value ?? '')
  t.ok(await opens(during))
  t.ok(await opens(after), 'what is written is sealed with the first')
  t.notOk(await opens(before))
})

test('the same session is sealed differently each time that it is stored', async (t) => {
  const { app } = await start(t)
  const save = async () => (await app.inject({ method: 'POST', url: '/save', payload: { access_token: 'x', token_type: 'Bearer' } })).cookies[0]?.value
  t.not(await save(), await save())
})

/** The app's own session, which counts visits. */
function visits (app: FastifyInstance): void {
  app.get('/visits', async (request) => {
    const count = Number(request.session.get('count') ?? 0) + 1
    request.session.set('count', count)
    return { count, token: await request.accessToken({ optional: true }) }
  })
}

declare module '@fastify/secure-session' {
  interface SessionData { count: number, provider: string }
}

test('F48 what the app\'s own @fastify/secure-session has sealed with the same key opens nothing here, and the other way round', async (t) => {
  const server = await startServer(t)
  const options: TestAppOptions = {
    session: { key: newKey },
    before: (app) => app.register(secureSession, { key: newKey, cookieName: 'mine', cookie: { path: '/' } }),
    routes: visits
  }
  const { login, app } = await startApp(t, server, options)
  const browser = await login()
  for (const count of [1, 2]) t.match((await browser.get('/visits')).json, { count, token: String })
  t.strictSame([...browser.cookies.keys()], [name, 'mine'])
  const sealed = (browser.cookies.get(name) ?? '').split('.').slice(-2).join(';').replaceAll('-', '+').replaceAll('_', '/')
  t.equal(app.decodeSecureSession(sealed, app.log), null)
  const swapped = browser.clone()
  swapped.cookies.set('mine', encodeURIComponent(sealed))
  t.equal((await swapped.get('/visits')).json.count, 1, 'a session of ours is none of the app')

  const mixed = browser.clone()
  mixed.cookies.set(name, decodeURIComponent(browser.cookies.get('mine') ?? '').replace(';', '.').replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''))
  t.match(await mixed.get('/token'), { status: 401, setCookies: [] }, 'a session of the app is no session of ours')
})

for (const when of ['before', 'after'] as const) {
  test(`an app that registers @fastify/secure-session ${when} a plugin with a key of its own: nothing collides`, async (t) => {
    const register = async (app: FastifyInstance): Promise<void> => { await app.register(secureSession, { key: randomBytes(32), cookieName: 'mine', cookie: { path: '/' } }) }
    const { login, app, clock } = await start(t, {
      before: async (app) => { if (when === 'before') await register(app) },
      routes: async (app) => {
        if (when === 'after') await register(app)
        visits(app)
      }
    })
    t.ok(app.hasRequestDecorator('session'))
    const browser = await login()
    for (const count of [1, 2]) t.match((await browser.get('/visits')).json, { count, token: String })
    clock.now += 61
    t.match(await browser.get('/visits'), { status: 200, json: { count: 3 }, setCookies: [/^(mine|__Host-tokens)=/, /^(mine|__Host-tokens)=/] }, 'both in one response')
    t.match((await browser.get('/visits')).json, { count: 4, token: String })
    const without = await start(t, { session: { key: sessionKey } })
    t.notOk(without.app.hasRequestDecorator('session'), 'and the plugin alone leaves no session on the app')
    t.notOk(without.app.hasDecorator('encodeSecureSession'))
  })
}
