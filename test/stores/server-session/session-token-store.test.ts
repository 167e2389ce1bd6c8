import cookie from '@fastify/cookie'
import session from '@fastify/session'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { test } from 'tap'
import { startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { Browser } from '../../support/browser.ts'
import { JsonSessionStore } from '../../support/json-session-store.ts'
import { logIn } from '../../support/login-flow.ts'
import { assertNoSecrets } from '../../support/scenario.ts'
import { appSession, startSessionApp } from '../../support/session-app.ts'
import { sessionKey, startApp } from '../../support/start-app.ts'

const tokens = false

test('where @fastify/session is registered the tokens are in its store, and the browser has one cookie, of the session', async (t) => {
  const { app, server, browser, store, clock, log } = await startSessionApp(t, { server: { expiresIn: 60 } })
  t.equal((await browser.get('/token')).status, 401)
  t.equal((await logIn(browser)).status, 303)
  t.strictSame([...browser.cookies.keys()], ['sessionId'])
  const { token } = (await browser.get('/token')).json
  t.equal(server.whoHas(String(token))?.sub, 'alice')
  t.strictSame(store.generations, [0])
  t.notOk(JSON.stringify((await browser.get('/session')).json).includes(String(token)), 'the session itself holds no token')

  clock.now += 61
  const { status, json } = await browser.get('/token')
  t.equal(status, 200)
  t.not(json.token, token)
  t.strictSame(store.generations, [1])
  t.equal((await browser.get('/token')).json.token, json.token)
  t.equal(server.refreshes, 1)
  t.equal((await app.inject('/token')).statusCode, 401, 'nobody else has them')
  assertNoSecrets(t, server, log)
})

test('without a login and a key the tokens are in the store in clear, and a warning says so', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const store = new JsonSessionStore()
  const { app, login, log } = await startApp(t, server, {
    session: {},
    before: async (app) => {
      await app.register(cookie)
      await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
    }
  })
  const browser = await login()
  t.equal((await browser.get('/token')).status, 200)
  t.equal((await app.inject('/token')).statusCode, 401, 'nobody else has them')
  t.strictSame(store.generations, [0])
  t.equal(log.filter((line) => line.includes('"level":40') && line.includes('kept in clear in the store of @fastify/session')).length, 1)
})

test('R14 with session.key what is in the store is sealed, and nothing but what it has sealed is taken', async (t) => {
  const { server, browser, store, clock, log } = await startSessionApp(t, { session: { key: sessionKey } })
  await logIn(browser)
  clock.now += 301
  t.equal((await browser.get('/token')).status, 200)
  assertNoSecrets(t, server, [store.text])
  t.notOk(log.some((line) => line.includes('in clear')))
  for (const [id, record] of store.records) {
    const { content, ...rest } = JSON.parse(record)
    if (content !== undefined) store.records.set(id, JSON.stringify({ ...rest, content: { provider: 'default', usedAt: clock.now, tokens: { sessionId: 'x', generation: 9, startedAt: clock.now, accessTokens: [{ accessToken: 'forged', tokenType: 'Bearer', issuedAt: clock.now, generation: 9 }] } } }))
  }
  t.equal((await browser.get('/token')).status, 401)
})

test('once the headers are sent a refresh still reaches the store, and a login is refused', async (t) => {
  const late = (act: (request: FastifyRequest) => Promise<unknown>) => async (request: FastifyRequest, reply: FastifyReply) => {
    reply.hijack()
    reply.raw.writeHead(200).flushHeaders()
    await act(request).then(() => reply.raw.end('ok'), (error) => reply.raw.end(error.code))
  }
  const { browser, store, clock } = await startSessionApp(t, {
    refresh: 'manual',
    routes: (app) => {
      app.get('/late', late((request) => request.accessToken()))
      app.get('/late/save', late((request) => request.tokens.save({ access_token: 'x', token_type: 'bearer' })))
      app.get('/late/clear', late((request) => request.tokens.clear()))
    }
  })
  await logIn(browser)
  clock.now += 301
  t.equal((await browser.get('/late')).text, 'ok')
  t.strictSame(store.generations, [1])
  t.equal((await browser.get('/late/save')).text, 'FST_TOKEN_HEADERS_SENT')
  t.strictSame(store.generations, [1])
  t.equal((await browser.get('/late/clear')).text, 'ok')
  t.equal((await browser.get('/token')).status, 401)
})

test('of two processes with one store a logout at one wins over a refresh in flight at the other', async (t) => {
  const one = await startSessionApp(t)
  const other = await startSessionApp(t, { store: one.store, issuer: one.server.issuer })
  await logIn(one.browser)
  const there = new Browser(other.origin, one.browser.cookies)
  t.equal((await there.get('/token')).status, 200)
  const late = one.browser.clone()
  const gate = one.server.hold()
  one.clock.now += 301
  const refreshing = late.get('/token')
  await gate.arrived()
  t.equal((await there.post('/clear')).status, 200, 'the provider is not told, and answers with a successor')
  gate.release()
  t.equal((await refreshing).status, 200)
  t.strictSame(one.store.generations, [])
  t.equal((await late.get('/token')).status, 401)
})

test('a late write of an older generation replaces nothing', async (t) => {
  const { browser, store } = await startSessionApp(t, {
    routes: (app) => app.post<{ Querystring: { generations: string } }>('/write', async (request, reply) => {
      const context = { request, reply, provider: 'default' }
      const held = await app.tokenStore.get(context)
      if (held === null) throw new Error('nobody is logged in')
      await Promise.all(request.query.generations.split(' ').map((generation) => app.tokenStore.set(context, { ...held, generation: Number(generation) })))
      return {}
    })
  })
  await logIn(browser)
  for (const [generations, highest] of [['2', 2], ['1', 2], ['3 7 5 4', 7], ['6', 7]] as const) {
    t.equal((await browser.post(`/write?generations=${generations}`)).status, 200)
    t.strictSame(store.generations, [highest], generations)
  }
})

test('a session whose cookie would not reach the browser is told at login, and not with a loop of logins', async (t) => {
  const { browser, errors, store } = await startSessionApp(t, { sessionOptions: { cookie: { secure: true } } })
  const answer = await logIn(browser)
  t.equal(answer.status, 503)
  t.match(answer.json, { code: 'FST_TOKEN_STORE_FAILED' })
  t.match(errors.at(-1), { cause: { message: /trustProxy/ } })
  t.strictSame(store.generations, [])
})

test('without a session of the app there is nothing to log in with, and nobody is logged in', async (t) => {
  const { app, errors, server } = await startSessionApp(t, {
    sessionOptions: { cookie: { secure: false, path: '/inside' } },
    routes: (app) => app.post<{ Body: { access_token: string, token_type: string } }>('/inside/destroyed', async (request) => {
      await appSession(request).destroy()
      await request.tokens.clear()
      await request.tokens.save(request.body)
    })
  })
  t.equal((await app.inject('/token')).statusCode, 401)
  const payload = await server.issue()
  for (const url of ['/save', '/inside/destroyed']) {
    t.equal((await app.inject({ method: 'POST', url, payload })).statusCode, 503)
    t.match(errors.at(-1), { code: 'FST_TOKEN_STORE_FAILED', cause: { message: /no session of @fastify\/session/ } })
  }
})

test('a session ends after its inactivity and its absolute duration, and use puts the former off', async (t) => {
  const { server, browser, clock, store } = await startSessionApp(t, { session: { inactivityDuration: 100, absoluteDuration: 250 }, server: { expiresIn: 1000 } })
  const expires = () => Math.max(...[...store.records.values()].map((record) => JSON.parse(record)).filter(({ content }) => content).map(({ cookie }) => Date.parse(cookie.expires) / 1000))
  await logIn(browser)
  const loggedInAt = Math.floor(clock.now)
  t.equal(expires(), loggedInAt + 100, 'the store is told how long')
  clock.now += 49
  await browser.get('/token')
  t.equal(expires(), loggedInAt + 100, 'not written for nothing')
  for (const wait of [40, 90]) {
    clock.now += wait
    t.equal((await browser.get('/token')).status, 200)
  }
  t.equal(expires(), loggedInAt + 250)
  clock.now += 80
  t.equal((await browser.get('/token')).status, 401, 'the absolute duration')
  await logIn(browser)
  clock.now += 101
  t.equal((await browser.get('/token')).status, 401, 'the inactivity duration')
  t.equal(server.refreshes, 0)
})

test('a store that fails is a 503 with its cause, and one on files says ENOENT for nothing', async (t) => {
  const { browser, errors, store } = await startSessionApp(t, {
    refresh: 'manual',
    routes: (app) => app.get('/failing', { config: { tokens } }, async (request) => {
      store.failure = new Error('the connection is down')
      return await request.accessToken().finally(() => { store.failure = undefined })
    })
  })
  await logIn(browser)
  t.equal((await browser.get('/failing')).status, 503)
  t.match(errors.at(-1), { code: 'FST_TOKEN_STORE_FAILED', cause: { message: 'the connection is down' } })
  t.equal((await browser.get('/token')).status, 200, 'and never a logout')
  store.get = (id, callback) => {
    if (store.records.has(id)) JsonSessionStore.prototype.get.call(store, id, callback)
    else callback(Object.assign(new Error('no such file'), { code: 'ENOENT' }))
  }
  for (const [id, record] of store.records) if (record.includes('"content"')) store.records.delete(id)
  t.equal((await browser.get('/token')).status, 401)
})

test('the hook asks the store for nothing while nothing is due', async (t) => {
  const { app, browser, store, clock, server } = await startSessionApp(t, { server: { expiresIn: 300 } })
  const reads = async (act: () => Promise<unknown>) => {
    store.tokenReads = 0
    await act()
    return store.tokenReads
  }
  await logIn(browser)
  t.equal(await reads(() => browser.get('/nothing')), 0)
  t.equal(await reads(() => browser.get('/optional')), 1)
  t.equal(await reads(() => app.inject('/optional')), 0, 'nobody is logged in')
  clock.now += 241
  t.equal(server.refreshes, 0)
  await browser.get('/nothing')
  t.equal(server.refreshes, 1, 'and refreshes when it is')
  t.equal(await reads(() => browser.get('/nothing')), 0)
})

test('a session sealed with an older key is sealed with the first as it is used', async (t) => {
  const [old, first] = [Buffer.alloc(32, 'o'), Buffer.alloc(32, 'f')]
  const before = await startSessionApp(t, { session: { key: old } })
  await logIn(before.browser)
  const both = await startSessionApp(t, { store: before.store, issuer: before.server.issuer, session: { key: [first, old] } })
  t.equal((await new Browser(both.origin, before.browser.cookies).get('/nothing')).status, 404)
  const after = await startSessionApp(t, { store: before.store, issuer: before.server.issuer, session: { key: first } })
  t.equal((await new Browser(after.origin, before.browser.cookies).get('/token')).status, 200)
})
