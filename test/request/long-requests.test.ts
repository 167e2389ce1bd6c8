/* Requests that go on for long with a session on the server (events, jobs): others refresh, log out and log in meanwhile. */
import cookie from '@fastify/cookie'
import secureSession from '@fastify/secure-session'
import session from '@fastify/session'
import { test, type Test } from 'tap'
import tokenManagement from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Gate } from '../../lib/testing/provider/gate.ts'
import { sessionKey } from '../support/start-app.ts'
import { Browser } from '../support/browser.ts'
import { JsonSessionStore } from '../support/json-session-store.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'
import { appSession, startSessionApp, type SessionAppOptions } from '../support/session-app.ts'

/** `GET /events` takes a token, sends its headers, waits at the gate, and takes another one. */
async function start (t: Test, options: SessionAppOptions = {}) {
  const gate = new Gate()
  const app = await startSessionApp(t, {
    server: { expiresIn: 300 },
    routes: (app) => app.get('/events', async (request, reply) => {
      const first = await request.accessToken()
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
      await gate.pass()
      const second = await request.accessToken().catch(({ code }) => ({ code }))
      reply.raw.end(JSON.stringify({ first, second }))
    }),
    ...options
  })
  app.server.settings.clock = () => app.clock.now
  await logIn(app.browser)
  return { ...app, gate }
}

test('another process has refreshed meanwhile: the newer session is found, and no refresh token is spent twice', async (t) => {
  const one = await start(t)
  const other = await startSessionApp(t, { store: one.store, issuer: one.server.issuer })
  const there = new Browser(other.origin, one.browser.cookies)
  const events = one.browser.clone().get('/events')
  await one.gate.arrived()
  const wait = (seconds: number) => { for (const { clock } of [one, other]) clock.now += seconds }
  wait(250)
  t.equal((await there.get('/token')).status, 200)
  wait(100)
  one.gate.release()
  t.equal(one.server.whoHas(String((await events).json.second))?.sub, 'alice')
  wait(300)
  t.equal((await there.get('/token')).status, 200, 'the family lives')
  t.ok(one.server.families.every(({ alive }) => alive))
})

for (const [title, idle] of Object.entries({ 'longer ago than the grace period': 31, 'so long ago that nothing of it is in memory': 3601 })) {
  test(`another tab has refreshed meanwhile, ${title}: its session is found`, async (t) => {
    const { server, browser, clock, gate } = await start(t)
    const events = browser.clone().get('/events')
    await gate.arrived()
    clock.now += 250
    for (let count = 0; count < 2; count++) t.equal((await browser.get('/token')).status, 200)
    clock.now += idle
    gate.release()
    t.equal(server.whoHas(String((await events).json.second))?.sub, 'alice')
    t.equal((await browser.get('/token')).status, 200)
  })
}

test('another process has logged out meanwhile: there is nobody any more, and nothing is spent', async (t) => {
  const one = await start(t)
  const other = await startSessionApp(t, { store: one.store, issuer: one.server.issuer })
  const events = one.browser.clone().get('/events')
  await one.gate.arrived()
  t.equal((await new Browser(other.origin, one.browser.cookies).post('/clear')).status, 200)
  one.clock.now += 301
  one.gate.release()
  t.strictSame((await events).json.second, { code: 'FST_TOKEN_UNAUTHENTICATED' })
  t.equal(one.server.refreshes, 0)
})

test('a new login while the write of a refresh is slow: the late write is taken back, and the new session stays', async (t) => {
  const store = new JsonSessionStore()
  const { browser, clock } = await startSessionApp(t, { store, server: { expiresIn: 60 }, sessionOptions: { saveUninitialized: false, rolling: false } })
  await logIn(browser)
  clock.now += 61
  const gate = new Gate()
  const set = store.set.bind(store)
  let isHeld = false
  store.set = (id, record, done) => {
    const isSuccessor = store.generationOf(JSON.stringify(record)) === 1
    if (isHeld || !isSuccessor) return set(id, record, done)
    isHeld = true
    gate.pass().then(() => set(id, record, done))
  }
  const late = browser.clone()
  const refreshing = late.get('/token')
  await gate.arrived()
  const before = new Set(store.records.keys())
  const isWritten = () => [...store.records.keys()].filter((id) => !before.has(id)).length === 2 // the session, and its tokens
  const loggingIn = logIn(browser)
  for (let calm = 0; calm < 50; calm = isWritten() ? calm + 1 : 0) await new Promise(setImmediate) // the login goes on as far as it can
  gate.release()
  t.equal((await loggingIn).status, 303)
  t.strictSame((await refreshing).setCookies, [], 'nothing that would replace the cookie of the new login')
  t.equal((await browser.get('/token')).status, 200)
})

test('a second provider has its session for a route that says which of its tokens it wants', async (t) => {
  const github = await startAuthorizationServer({ user: 'octocat', clientId: 'another client' })
  t.teardown(() => github.close())
  const wish = { provider: 'github', scope: 'repos' }
  const { browser } = await startSessionApp(t, {
    routes: async (app) => {
      await app.register(tokenManagement, {
        name: 'github',
        issuer: github.issuer,
        clientId: 'another client',
        clientSecret: github.settings.clientSecret,
        session: { key: sessionKey },
        login: { callbackUri: 'http://127.0.0.1:3000/github/callback', startRedirectPath: '/github/login', scope: ['openid', 'offline_access', 'repos'] },
        logout: { path: '/github/logout' }
      })
      app.get('/repos', { onRequest: app.requireAccessToken, config: { tokens: wish } }, async (request) => ({ token: await request.accessToken(wish) }))
    }
  })
  await logIn(browser, '/github/login')
  t.equal(github.whoHas(String((await browser.get('/repos')).json.token))?.scope, 'repos')
})

test('beside @fastify/secure-session, the destroy() of @fastify/session still ends the tokens', async (t) => {
  const store = new JsonSessionStore()
  const ended: string[] = []
  const { browser } = await startLoginApp(t, {
    session: { key: sessionKey },
    onSessionEnded: ({ reason }) => { ended.push(reason) },
    before: async (app) => {
      await app.register(cookie)
      await app.register(secureSession, { sessionName: 'flash', cookieName: 'flash', key: Buffer.alloc(32, 's'), cookie: { path: '/' } })
      await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
    },
    routes: (app) => {
      app.post('/destroy', async (request) => {
        await request.accessToken()
        await appSession(request).destroy()
        return { token: await request.accessToken({ optional: true }) }
      })
    }
  })
  await logIn(browser)
  t.strictSame((await browser.post('/destroy')).json, { token: null })
  await new Promise(setImmediate)
  t.strictSame(ended, ['logout'])
  t.equal([...store.records.values()].filter((record) => record.includes('"content"')).length, 0)
})

test('a logout that the store has failed once is tried again by the same request', async (t) => {
  const store = new JsonSessionStore()
  const { browser } = await startSessionApp(t, {
    store,
    routes: (app) => {
      app.post('/again', { config: { tokens: false } }, async (request) => {
        store.failure = new Error('down')
        const first = await request.tokens.clear().catch(({ code }) => code)
        delete store.failure
        await request.tokens.clear()
        return { first }
      })
    }
  })
  await logIn(browser)
  t.strictSame((await browser.post('/again')).json, { first: 'FST_TOKEN_STORE_FAILED' })
  t.equal([...store.records.values()].filter((record) => record.includes('"content"')).length, 0)
})
