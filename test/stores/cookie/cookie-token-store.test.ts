import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test, type Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import type { Settings } from '../../support/authorization-server/settings.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from '../../support/start-app.ts'
import tokenManagement from '../../../lib/index.ts'

const DAY = 86_400
/** Of access tokens that outlive every session here. */
const LONG = 100 * DAY

const sealed = '1\\.\\d+\\.[\\w-]{4}\\.[\\w-]+\\.[\\w-]+'
const attributes = 'Path=/; HttpOnly; Secure; SameSite=Lax'
const deletion = `__Host-tokens=; Max-Age=0; ${attributes}`
/** What a logout deletes: whatever a session of the default budget can have. */
const deletions = ['', '.0', '.1'].map((end) => `__Host-tokens${end}=; Max-Age=0; ${attributes}`)

interface Stage extends TestApp { server: AuthorizationServer }

async function start (t: Test, { server: settings, ...options }: TestAppOptions & { server?: Partial<Settings> } = {}): Promise<Stage> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  return { server, ...await startApp(t, server, options) }
}

function maxAgeOf (cookie = ''): number {
  return Number(/Max-Age=(\d+)/.exec(cookie)?.[1])
}

test('R13 R42 the session is sealed in one __Host- cookie with its attributes, and the response is not cached', async (t) => {
  const { app, server, log } = await start(t)
  const tokens = await server.issue()
  const { headers } = await app.inject({ method: 'POST', url: '/save', payload: tokens })
  t.match(headers['set-cookie'], new RegExp(`^__Host-tokens=${sealed}; Max-Age=${DAY}; ${attributes}$`))
  t.equal(headers['cache-control'], 'no-store')
  const cookie = String(headers['set-cookie'])
  const halves = cookie.slice('__Host-tokens='.length, cookie.indexOf(';')).split('.').map((half) => Buffer.from(half, 'base64url').toString('latin1'))
  for (const token of [tokens.access_token, tokens.refresh_token, tokens.id_token ?? '']) {
    t.notOk([cookie, ...halves].some((text) => text.includes(token)), 'R14 nothing of it is in clear')
  }
  t.notMatch(log.join(''), /not Secure/)
})

test('a refresh writes the cookie as the login did, and a valid token neither writes nor forbids caching', async (t) => {
  const { login, clock } = await start(t, { server: { expiresIn: 60 } })
  const browser = await login()
  const before = browser.header
  const { setCookies, headers } = await browser.get('/token')
  t.strictSame(setCookies, [])
  t.equal(headers.get('cache-control'), null)
  clock.now += 61
  const refreshed = await browser.get('/token')
  t.match(refreshed.setCookies, [new RegExp(`^__Host-tokens=${sealed}; Max-Age=${DAY}; ${attributes}$`)])
  t.equal(refreshed.headers.get('cache-control'), 'no-store')
  t.not(browser.header, before)
  t.equal((await browser.get('/token')).json.token, refreshed.json.token)
})

test('on plain http of loopback the cookie has a plain name and no Secure, and a warning says so', async (t) => {
  const { login, log } = await start(t, { login: { callbackUri: 'http://localhost:3000/auth/callback', scope: ['openid'] } })
  const browser = await login()
  t.strictSame([...browser.cookies.keys()], ['tokens'])
  t.match(log.filter((line) => /not Secure/.test(line)), [/"level":40.*The session cookie tokens is not Secure: for development on loopback only/])
  t.match((await browser.post('/auth/logout')).setCookies.filter((cookie) => cookie.startsWith('tokens')), ['', '.0', '.1'].map((end) => `tokens${end}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax`))
})

test('every provider has a cookie of its own, and none opens under another name', async (t) => {
  const other = await startAuthorizationServer()
  t.teardown(() => other.close())
  const { app, login, logged } = await start(t, {
    routes: async (app) => {
      await app.register(tokenManagement, { name: 'github', issuer: other.issuer, clientId: 'web', clientSecret: 'a secret', session: { key: sessionKey } })
      app.get('/github', async (request) => ({ token: await request.accessToken({ provider: 'github', optional: true }) }))
      app.post<{ Body: { access_token: string, token_type: string } }>('/save-github', async (request) => {
        await request.tokens.save(request.body, { provider: 'github' })
        return {}
      })
    }
  })
  const tokens = await other.issue()
  const saved = await app.inject({ method: 'POST', url: '/save-github', payload: tokens })
  t.match(saved.headers['set-cookie'], new RegExp(`^__Host-github-tokens=${sealed}; Max-Age=${DAY}; ${attributes}$`))
  const browser = await login()
  for (const { name, value } of saved.cookies) browser.cookies.set(name, value)
  t.equal((await browser.get('/github')).json.token, tokens.access_token)

  const thief = browser.clone()
  thief.cookies.set('__Host-github-tokens', browser.cookies.get('__Host-tokens') ?? '')
  const stolen = await thief.get('/github')
  t.equal(stolen.json.token, null)
  t.strictSame(stolen.setCookies, [])
  t.match(await logged(/does not open/), /"level":20.*"cookie":"__Host-github-tokens"/)
})

test('R53 a name and attributes of the app\'s own are on the cookie and on its deletion', async (t) => {
  const { login, app } = await start(t, {
    session: { key: sessionKey, cookieName: 'sid', cookie: { domain: 'app.example.com', path: '/app', sameSite: 'strict' } },
    routes: (app) => { app.post('/clear', async (request) => { await request.tokens.clear() }) }
  })
  const browser = await login()
  const own = 'Domain=app.example.com; Path=/app; HttpOnly; Secure; SameSite=Strict'
  const { headers } = await app.inject({ method: 'POST', url: '/clear', headers: { cookie: browser.header } })
  t.strictSame(headers['set-cookie'], ['', '.0', '.1'].map((end) => `sid${end}=; Max-Age=0; ${own}`))
  t.equal(headers['cache-control'], 'no-store')
  const saved = await app.inject({ method: 'POST', url: '/save', payload: { access_token: 'x', token_type: 'Bearer' } })
  t.match(saved.headers['set-cookie'], new RegExp(`^sid=${sealed}; Max-Age=${DAY}; ${own}$`))
})

test('R53 a logout deletes the cookie with the attributes that it was set with', async (t) => {
  const { login } = await start(t, { routes: (app) => { app.post('/clear', async (request) => { await request.tokens.clear() }) } })
  const browser = await login()
  t.strictSame((await browser.post('/clear')).setCookies, deletions)
  t.equal(browser.cookies.size, 0)
})

test('R13 no handler can make a response cacheable that sets the session cookie', async (t) => {
  const { login, clock } = await start(t, {
    server: { expiresIn: 60 },
    routes: (app) => {
      app.get('/before', async (request, reply) => {
        reply.header('Cache-Control', 'public, max-age=3600')
        return { token: await request.accessToken() }
      })
      app.get('/after', async (request, reply) => {
        const token = await request.accessToken()
        reply.header('cache-control', 'public, max-age=3600')
        return { token }
      })
    }
  })
  const browser = await login()
  for (const path of ['/before', '/after']) {
    t.equal((await browser.get(path)).headers.get('cache-control'), 'public, max-age=3600', 'where it is not set, the app decides')
    clock.now += 61
    const { setCookies, headers } = await browser.get(path)
    t.equal(setCookies.length, 1)
    t.equal(headers.get('cache-control'), 'no-store', path)
  }
})

test('several writes in one response send one cookie: the last', async (t) => {
  const { app, server, login, clock } = await start(t, {
    server: { expiresIn: 60 },
    routes: (app) => {
      app.post<{ Body: { access_token: string, token_type: string } }>('/twice', async (request) => {
        await request.tokens.save(request.body)
        await request.tokens.save({ ...request.body, access_token: 'the-last' })
        return {}
      })
      app.post('/clear', async (request) => {
        await request.accessToken()
        await request.tokens.clear()
      })
    }
  })
  const { cookies } = await app.inject({ method: 'POST', url: '/twice', payload: await server.issue() })
  t.equal(cookies.length, 1)
  t.match((await app.inject({ url: '/token', cookies: { '__Host-tokens': cookies[0]?.value ?? '' } })).json(), { token: 'the-last' })

  const browser = await login()
  clock.now += 61
  t.strictSame((await browser.post('/clear')).setCookies, deletions, 'a refresh and then a logout')
})

for (const when of ['before', 'after', 'never'] as const) {
  test(`the app's own cookies survive, with @fastify/cookie registered ${when === 'never' ? 'by nobody' : `${when} the plugin`}`, async (t) => {
    const registered = async (app: FastifyInstance): Promise<void> => { await app.register(fastifyCookie, { secret: 'of the app' }) }
    const { login, clock } = await start(t, {
      server: { expiresIn: 60 },
      before: async (app) => { if (when === 'before') await registered(app) },
      routes: async (app) => {
        if (when === 'after') await registered(app)
        app.get('/mine', async (request, reply) => {
          reply.header('set-cookie', 'first=1; Path=/')
          if (when !== 'never') reply.setCookie('second', '2', { path: '/' })
          const token = await request.accessToken()
          reply.header('set-cookie', '__Host-tokens-of-mine=3; Path=/')
          return { token, theirs: when === 'never' ? '' : request.cookies.theirs }
        })
      }
    })
    const browser = await login()
    browser.cookies.set('theirs', 'x')
    clock.now += 61
    const { status, json, setCookies } = await browser.get('/mine')
    t.equal(status, 200)
    t.equal(json.theirs, when === 'never' ? '' : 'x')
    const names = setCookies.map((cookie) => cookie.slice(0, cookie.indexOf('='))).sort()
    t.strictSame(names, ['__Host-tokens', '__Host-tokens-of-mine', 'first', ...when === 'never' ? [] : ['second']])
  })
}

test('R54 several Cookie headers are one', async (t) => {
  const { origin, login } = await start(t)
  const browser = await login()
  const { port } = new URL(origin)
  for (const cookies of [['a=1', browser.header], [browser.header, 'a=1'], ['a=1; b=2', `c=3; ${browser.header}; d=4`]]) {
    const socket = connect(Number(port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write(['GET /token HTTP/1.1', 'Host: 127.0.0.1', 'Connection: close', ...cookies.map((cookie) => `Cookie: ${cookie}`), '', ''].join('\r\n'))
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk)
    t.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.1 200 OK\r\n/)
  }
})

test('a session ends when it was not used for inactivityDuration, and is rolled once in half of that time', async (t) => {
  const { login, clock, logged } = await start(t, { session: { key: sessionKey, inactivityDuration: 1000 } })
  clock.now = Math.floor(clock.now)
  const browser = await login({ expiresIn: LONG })
  const idle = browser.clone()
  clock.now += 499
  t.strictSame((await browser.get('/token')).setCookies, [])
  clock.now += 1
  const rolled = await browser.get('/token')
  t.match(rolled.setCookies, [new RegExp(`^__Host-tokens=${sealed}; Max-Age=1000; ${attributes}$`)])
  t.equal(rolled.headers.get('cache-control'), 'no-store')
  t.strictSame((await browser.get('/token')).setCookies, [], 'once')
  clock.now += 499
  t.equal((await idle.clone().get('/token')).status, 200)
  clock.now += 1
  const ended = await idle.get('/token')
  t.equal(ended.status, 401)
  t.match(ended.json, { code: 'FST_TOKEN_UNAUTHENTICATED' })
  t.strictSame(ended.setCookies, [deletion])
  t.match(await logged(/The time of the session is over/), /"level":20/)
  t.equal((await browser.get('/token')).status, 200, 'the one that was used goes on')
})

test('a session ends absoluteDuration after its login, however much it is used or refreshed', async (t) => {
  const { login, clock, server } = await start(t, { session: { key: sessionKey, inactivityDuration: 1000, absoluteDuration: 1800 } })
  clock.now = Math.floor(clock.now)
  const browser = await login({ expiresIn: 600, scope: 'orders' })
  clock.now += 600
  t.equal(maxAgeOf((await browser.get('/token')).setCookies[0]), 1000)
  server.settings.expiresIn = LONG
  clock.now += 600
  t.equal(maxAgeOf((await browser.get('/token')).setCookies[0]), 600, 'the cookie does not outlive the session')
  clock.now += 599
  t.match((await browser.get('/token')), { status: 200 })
  clock.now += 1
  const ended = await browser.get('/token')
  t.equal(ended.status, 401)
  t.strictSame(ended.setCookies, [deletion])
})

test('the cookie is opened only when a token is asked for', async (t) => {
  const { login, clock, log } = await start(t, {
    refresh: 'manual',
    session: { key: sessionKey, inactivityDuration: 1000 },
    routes: (app) => { app.get('/plain', async () => ({ plain: true })) }
  })
  const valid = await login({ expiresIn: LONG })
  const broken = valid.clone()
  broken.cookies.set('__Host-tokens', 'broken')
  clock.now += 600
  for (const browser of [valid, broken]) {
    const { status, setCookies } = await browser.get('/plain')
    t.equal(status, 200)
    t.strictSame(setCookies, [])
  }
  t.notMatch(log.join(''), /does not open|secure-session/)
  await broken.get('/optional')
  t.match(log.join(''), /does not open/, 'and then it is')
  t.equal((await valid.get('/token')).setCookies.length, 1)
})

test('a context that a call passes on changes nothing about the one session that is in the cookie', async (t) => {
  const context = { tenant: 'a' }
  const { login, clock } = await start(t, {
    server: { expiresIn: 60 },
    routes: (app) => {
      app.post('/clear', async (request) => { await request.tokens.clear({ context }) })
      app.post('/other', async (request) => { await request.tokens.save({ access_token: 'another', token_type: 'Bearer' }, { context }); return {} })
    }
  })
  const [leaving, returning] = [await login(), await login()]
  clock.now += 61
  t.strictSame((await leaving.post('/clear')).setCookies, deletions, 'though the hook has refreshed')
  t.equal((await returning.post('/other')).status, 200)
  t.equal((await returning.get('/token')).json.token, 'another')
})

test('a client whose response was lost has all of its inactivity time when it comes back', async (t) => {
  const { login, clock } = await start(t, { server: { expiresIn: LONG }, session: { key: sessionKey, inactivityDuration: 900 }, routes: (app) => { app.get('/renew', async (request) => ({ token: await request.accessToken({ forceRenewal: true }) })) } })
  const browser = await login({ expiresIn: LONG })
  clock.now += 10
  t.equal((await browser.clone().get('/renew')).status, 200, 'and lost')
  clock.now += 870
  t.equal(maxAgeOf((await browser.get('/token')).setCookies[0]), 900)
  clock.now += 890
  t.equal((await browser.get('/token')).status, 200)
})

test('of one session the refreshed one counts, though another process has written the other one later', async (t) => {
  const session = { key: sessionKey, inactivityDuration: 100 }
  const renew: TestAppOptions = { session, routes: (app) => { app.get('/renew', async (request) => ({ token: await request.accessToken({ forceRenewal: true }) })) } }
  const { server, login, clock } = await start(t, renew)
  const [rolling, judging] = [await startApp(t, server, { session }), await startApp(t, server, { session })]
  const browser = await login({ expiresIn: LONG, scope: 'orders' })
  const late = browser.clone()
  server.settings.tokenBytes = 1600 // so that it has other names, and both can be there
  const { token } = (await browser.get('/renew')).json
  t.equal(browser.cookies.size, 2)
  for (const each of [rolling, judging]) each.clock.now = clock.now + 60
  const rolled = await rolling.app.inject({ url: '/token', headers: { cookie: late.header } })
  t.equal(rolled.cookies.length, 1)
  const header = [`__Host-tokens=${rolled.cookies[0]?.value}`, browser.header].join('; ')
  t.strictSame((await judging.app.inject({ url: '/token', headers: { cookie: header } })).json(), { token })
})

test('a session that comes back after its absoluteDuration is told to have expired, once; an old copy of one that is used is not', async (t) => {
  const ended: unknown[] = []
  const { login, clock } = await start(t, { session: { key: sessionKey, inactivityDuration: 1000, absoluteDuration: 1800 }, onSessionEnded: (event) => { ended.push(event) } })
  const browser = await login({ expiresIn: LONG })
  const copy = browser.clone()
  clock.now += 600
  t.equal((await browser.get('/token')).status, 200)
  clock.now += 600
  t.equal((await copy.clone().get('/token')).status, 401)
  t.equal((await browser.get('/token')).status, 200)
  clock.now += 601
  for (const each of [browser, copy]) t.equal((await each.get('/token')).status, 401)
  await new Promise(setImmediate)
  t.match(ended, [{ provider: 'default', reason: 'expired', sessionId: String }])
  t.equal(ended.length, 1)
})
