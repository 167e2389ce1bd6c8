import { test } from 'tap'
import tokenManagement from '../../../lib/index.ts'
import { startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { Gate } from '../../../lib/testing/provider/gate.ts'
import { logIn } from '../../support/login-flow.ts'
import { type AppSession, appSession, sid, startSessionApp } from '../../support/session-app.ts'
import { sessionKey } from '../../support/start-app.ts'

const tokens = false

for (const sessionOptions of [{ saveUninitialized: true, rolling: true }, { saveUninitialized: false, rolling: false }]) {
  test(`a login changes the session id, and what the visitor has gathered comes along (${JSON.stringify(sessionOptions)})`, async (t) => {
    const { browser, store } = await startSessionApp(t, { sessionOptions })
    await browser.post('/cart')
    const fixated = browser.clone()
    t.ok(sid(fixated))
    await logIn(browser)
    t.not(sid(browser), sid(fixated))
    t.match((await browser.get('/session')).json, { cart: ['book'] })
    t.equal((await browser.get('/token')).status, 200)
    t.equal((await fixated.get('/token')).status, 401, 'whoever knew the old id has nothing')
    t.notMatch((await fixated.get('/session')).json, { cart: ['book'] })
    t.equal([...store.records.values()].filter((record) => record.includes('book')).length, 1)
  })
}

test('a login over a login keeps the data of the same person, and none of another\'s or of who knows whom', async (t) => {
  const { server, browser, store } = await startSessionApp(t, { login: { startRedirectPath: '/in' } })
  await logIn(browser, '/in')
  await browser.post('/cart')
  await logIn(browser, '/in')
  t.match((await browser.get('/session')).json, { cart: ['book'] })
  t.strictSame(store.generations, [0], 'the record of before is gone')
  server.settings.user = 'bob'
  await logIn(browser, '/in')
  t.notMatch((await browser.get('/session')).json, { cart: ['book'] })
  t.equal(server.whoHas(String((await browser.get('/token')).json.token))?.sub, 'bob')

  const plain = await startSessionApp(t, { login: { scope: ['orders'] } })
  await logIn(plain.browser)
  await plain.browser.post('/cart')
  await logIn(plain.browser)
  t.notMatch((await plain.browser.get('/session')).json, { cart: ['book'] }, 'without an id_token')
})

test('a request that changes the cart with an old snapshot does not undo a refresh meanwhile, nor the refresh the cart', async (t) => {
  const gate = new Gate()
  const { server, browser, store, clock } = await startSessionApp(t, {
    server: { expiresIn: 60 },
    routes: (app) => app.post('/slow-cart', { config: { tokens } }, async (request) => {
      appSession(request).cart = ['slow']
      await gate.pass()
      return {}
    })
  })
  await logIn(browser)
  clock.now += 61
  const slow = browser.clone()
  const slowAnswer = slow.post('/slow-cart')
  await gate.arrived()
  const { token } = (await browser.get('/token')).json
  gate.release()
  await slowAnswer
  t.strictSame(store.generations, [1])
  t.equal((await browser.get('/token')).json.token, token)
  t.match((await slow.get('/session')).json, { cart: ['slow'] })
  t.equal(server.refreshes, 1)
})

test('a logout ends the app\'s session too, also against a request that writes its old snapshot afterwards', async (t) => {
  const gate = new Gate()
  const { server, browser, store } = await startSessionApp(t, {
    routes: (app) => app.post('/slow', { config: { tokens } }, async () => {
      await gate.pass()
      return {}
    })
  })
  await logIn(browser)
  await browser.post('/cart')
  const before = browser.clone()
  const slow = before.post('/slow')
  await gate.arrived()
  const { token } = (await browser.get('/token')).json
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.strictSame(store.generations, [])
  t.equal(server.isAlive(String(token)), false)
  t.not(sid(browser), sid(before))
  t.notMatch((await browser.get('/session')).json, { cart: ['book'] })
  gate.release()
  await slow
  t.equal((await before.get('/token')).status, 401)
  t.strictSame(store.generations, [])
})

test('request.tokens.clear() leaves an empty session of a new id to the handler', async (t) => {
  const { browser } = await startSessionApp(t)
  await logIn(browser)
  await browser.post('/cart')
  const before = sid(browser)
  const { json } = await browser.post('/clear')
  t.strictSame(Object.keys(json), ['cookie'])
  t.not(sid(browser), before)
  await browser.post('/cart')
  await browser.post('/clear')
  t.notMatch((await browser.get('/session')).json, { cart: ['book'] }, 'also where there were no tokens any more')
})

test('a dead refresh token ends the session, and the handler has an empty one', async (t) => {
  const { server, browser, clock, store } = await startSessionApp(t, { routes: (app) => app.get('/public', (request) => ({ ...appSession(request) })) })
  await logIn(browser)
  await browser.post('/cart')
  for (const { id } of server.families) server.end(id)
  clock.now += 301
  t.equal((await browser.get('/public')).status, 200)
  clock.now += 31
  t.strictSame(Object.keys((await browser.get('/public')).json), ['cookie'])
  t.strictSame(store.generations, [])
})

for (const [how, end] of [
  ['destroy()', (session: AppSession) => session.destroy()],
  ['regenerate()', (session: AppSession) => session.regenerate()],
  ['regenerate() with other keys', (session: AppSession) => session.regenerate(['cart'])]
] as const) {
  test(`the app's own ${how} ends the tokens, in the same response`, async (t) => {
    const ended: unknown[] = []
    const { browser, store } = await startSessionApp(t, {
      onSessionEnded: ({ reason }) => { ended.push(reason) },
      routes: (app) => {
        app.post('/end', { config: { tokens } }, async (request) => { await end(appSession(request)); return {} })
        app.post('/end-and-ask', async (request) => {
          const before = await request.accessToken({ optional: true })
          await end(appSession(request))
          return { before, after: await request.accessToken({ optional: true }) }
        })
      }
    })
    for (const path of ['/end', '/end-and-ask']) {
      await logIn(browser)
      const copy = browser.clone()
      const { status, json } = await browser.post(path)
      t.equal(status, 200)
      t.strictSame(store.generations, [], 'nothing is left behind in the store')
      for (const each of [browser, copy]) t.equal((await each.get('/token')).status, 401)
      if (path === '/end-and-ask') t.match(json, { before: String, after: null })
    }
    t.strictSame(ended, ['logout', 'logout'])
  })
}

test('the app may carry the tokens over to a new session id by their key', async (t) => {
  const { browser } = await startSessionApp(t, {
    routes: (app) => app.post('/privileged', async (request) => { await appSession(request).regenerate(['cart', 'tokens:default']); return {} })
  })
  await logIn(browser)
  const before = sid(browser)
  await browser.post('/privileged')
  t.not(sid(browser), before)
  t.equal((await browser.get('/token')).status, 200)
})

test('two providers in one session: the logout of one leaves the other, that of the last ends the session', async (t) => {
  const github = await startAuthorizationServer({ user: 'octocat' })
  t.teardown(() => github.close())
  const { server, browser, store } = await startSessionApp(t, {
    routes: async (app) => {
      await app.register(tokenManagement, {
        name: 'github',
        issuer: github.issuer,
        clientId: 'web',
        clientSecret: github.settings.clientSecret,
        session: { key: sessionKey },
        login: { callbackUri: 'http://127.0.0.1:3000/github/callback', startRedirectPath: '/github/login', scope: ['openid'] },
        logout: { path: '/github/logout' }
      })
      app.get('/github/token', async (request) => ({ token: await request.accessToken({ provider: 'github' }) }))
      app.post('/github/clear-late', { config: { tokens } }, async (request, reply) => {
        reply.hijack()
        reply.raw.writeHead(200).flushHeaders()
        await request.tokens.clear({ provider: 'github' })
        reply.raw.end()
      })
    }
  })
  await logIn(browser)
  await browser.post('/cart')
  await logIn(browser, '/github/login')
  t.equal(server.whoHas(String((await browser.get('/token')).json.token))?.sub, 'alice')
  t.equal(github.whoHas(String((await browser.get('/github/token')).json.token))?.sub, 'octocat')

  t.equal((await browser.post('/github/logout')).status, 200)
  t.equal((await browser.get('/github/token')).status, 401)
  t.equal((await browser.get('/token')).status, 200)
  t.match((await browser.get('/session')).json, { cart: ['book'] })

  await logIn(browser, '/github/login')
  await browser.post('/github/clear-late')
  t.notMatch((await browser.get('/session')).json, { 'tokens:github': Object }, 'it is saved, though @fastify/session does not do that any more')
  await logIn(browser, '/github/login')
  await browser.post('/auth/logout')
  t.equal((await browser.get('/github/token')).status, 200)
  t.match((await browser.get('/session')).json, { cart: ['book'] })
  await browser.post('/github/logout')
  t.strictSame(store.generations, [])
  t.notMatch((await browser.get('/session')).json, { cart: ['book'] })
})
