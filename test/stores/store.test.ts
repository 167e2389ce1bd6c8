import type { FastifyInstance, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import type { StoreContext, TokenSet, TokenStore } from '../../lib/index.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { Browser } from '../support/browser.ts'
import { startApp, sessionKey } from '../support/start-app.ts'

interface Call { method: 'get' | 'set' | 'clear' | 'touch', context: StoreContext, tokens?: TokenSet }

interface MemoryStore extends TokenStore {
  readonly calls: Call[]
  readonly sessions: Map<string, TokenSet>
}

const keyOf = ({ request, provider }: StoreContext) => `${provider} ${String(request.headers['x-session'])}`

/** A store on the server: the sessions by a header, for whoever sends it. */
function memoryStore (): MemoryStore {
  const calls: Call[] = []
  const sessions = new Map<string, TokenSet>()
  return {
    calls,
    sessions,
    get: (context) => {
      calls.push({ method: 'get', context })
      return sessions.get(keyOf(context)) ?? null
    },
    set: (context, tokens) => {
      calls.push({ method: 'set', context, tokens })
      sessions.set(keyOf(context), tokens)
    },
    clear: (context) => {
      calls.push({ method: 'clear', context })
      sessions.delete(keyOf(context))
    }
  }
}

/** The same, an event loop turn later each. */
function asyncStore (store: TokenStore): TokenStore {
  const later = () => new Promise((resolve) => setImmediate(resolve))
  return {
    get: async (context) => { await later(); return await store.get(context) },
    set: async (context, tokens) => { await later(); await store.set(context, tokens) },
    clear: async (context) => { await later(); await store.clear(context) }
  }
}

async function startServer (t: Test, settings?: Partial<Settings>): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  return server
}

const withStore = (store: TokenStore) => ({
  session: {},
  before: (app: FastifyInstance) => { app.decorate('tokenStore', store) }
})

const alice = { 'x-session': 'alice' }

function save (app: FastifyInstance, payload: object, headers: Record<string, string> = alice, url = '/save') {
  return app.inject({ method: 'POST', url, headers, payload })
}

for (const kind of ['sync', 'async'] as const) {
  test(`an app's own ${kind} store is used, without a session.key and without a cookie`, async (t) => {
    const server = await startServer(t, { expiresIn: 60 })
    const memory = memoryStore()
    const store = kind === 'sync' ? memory : asyncStore(memory)
    const { app, origin, clock } = await startApp(t, server, { ...withStore(store), routes: (app) => app.post('/clear', (request) => request.tokens.clear()) })
    t.equal(app.tokenStore, store)
    const browser = new Browser(origin)
    t.equal((await browser.get('/token', alice)).status, 401)

    const issued = await server.issue()
    const saved = await save(app, issued)
    t.equal(saved.statusCode, 200)
    t.same(saved.cookies, [])
    t.equal((await browser.get('/token', alice)).json.token, issued.access_token)
    t.equal((await browser.get('/token', { 'x-session': 'bob' })).status, 401)

    clock.now += 61
    const refreshed = await browser.get('/token', alice)
    t.not(refreshed.json.token, issued.access_token)
    t.strictSame(refreshed.setCookies, [])
    t.match(memory.sessions.get('default alice'), { generation: 1, accessTokens: [{ accessToken: refreshed.json.token }] })
    t.equal((await browser.get('/token', alice)).json.token, refreshed.json.token)
    t.equal(server.refreshes, 1)

    await browser.post('/clear', alice)
    t.equal(memory.sessions.size, 0)
    t.equal((await browser.get('/token', alice)).status, 401)
  })
}

test('a store is asked once a request, and reads its own writes', async (t) => {
  const server = await startServer(t, { expiresIn: 60 })
  const store = memoryStore()
  const { app, origin, clock } = await startApp(t, server, withStore(store))
  await save(app, await server.issue())
  clock.now += 61
  store.calls.length = 0
  await new Browser(origin).get('/token', alice)
  t.strictSame(store.calls.map(({ method }) => method), ['get', 'set'])
})

test('the context of a store holds the request, the reply, the provider and what the caller passed', async (t) => {
  const server = await startServer(t)
  const store = memoryStore()
  const passed = { tenant: 'a' }
  const requests: FastifyRequest[] = []
  const { app, origin } = await startApp(t, server, {
    ...withStore(store),
    refresh: 'manual',
    routes: (app) => app.get('/contexts', async (request, reply) => {
      requests.push(request)
      await request.accessToken({ context: passed })
      await request.tokens.get({ context: passed })
      await request.tokens.get()
      await request.tokens.save({ access_token: 'x', token_type: 'bearer' }, { context: passed })
      await request.tokens.clear({ context: passed })
      await request.tokens.revoke({ context: passed })
      return reply.header('x-same', String(store.calls.every(({ context }) => context.reply === reply))).send({})
    })
  })
  await save(app, await server.issue())
  store.calls.length = 0
  const { headers } = await new Browser(origin).get('/contexts', alice)
  t.equal(headers.get('x-same'), 'true')
  t.strictSame(store.calls.map(({ method, context }) => [method, context.context === passed, context.provider]), [
    ['get', true, 'default'],
    ['get', false, 'default'],
    ['set', true, 'default'],
    ['clear', true, 'default'],
    ['clear', true, 'default']
  ])
  t.ok(store.calls.every(({ context }) => context.request === requests[0]))
})

test('an encapsulated context may have a store of its own', async (t) => {
  const server = await startServer(t)
  const store = memoryStore()
  const { app, login, origin } = await startApp(t, server, {
    routes: (app) => app.register(async (context) => {
      context.decorate('tokenStore', store)
      context.get('/inside/token', async (request) => ({ token: await request.accessToken() }))
      context.post<{ Body: { access_token: string, token_type: string } }>('/inside/save', async (request) => await request.tokens.save(request.body))
    })
  })
  const outside = await login()
  t.equal((await outside.get('/inside/token', alice)).status, 401, 'the cookie means nothing there')
  const issued = await server.issue()
  const saved = await save(app, issued, alice, '/inside/save')
  t.same(saved.cookies, [])
  t.equal(store.sessions.size, 1)
  t.equal((await outside.get('/inside/token', alice)).json.token, issued.access_token)
  t.equal((await new Browser(origin).get('/token', alice)).status, 401, 'and the store nothing outside')
  t.equal((await outside.get('/token')).status, 200)
})

test('a store that fails to read is a 503 with its cause, and never a logout', async (t) => {
  const server = await startServer(t)
  const cause = new Error('the database is away')
  const failing: TokenStore = { ...memoryStore(), get: () => { throw cause } }
  const errors: unknown[] = []
  const ended: unknown[] = []
  const { origin } = await startApp(t, server, {
    session: { key: sessionKey },
    before: (app) => {
      app.decorate('tokenStore', failing)
      app.setErrorHandler((error, _request, reply) => {
        errors.push(error)
        return reply.send(error)
      })
    },
    onSessionEnded: (event) => { ended.push(event) },
    logout: {}
  })
  const browser = new Browser(origin)
  for (const path of ['/token', '/optional']) {
    const answer = await browser.get(path, alice)
    t.equal(answer.status, 503)
    t.match(answer.json, { code: 'FST_TOKEN_STORE_FAILED', message: /failed to read/ })
    t.notMatch(answer.text, /database/)
  }
  t.match(errors, [{ cause }, { cause }])
  t.equal((await browser.post('/auth/logout', alice)).status, 200, 'R24 a logout clears what it cannot read')
  t.strictSame(ended, [])
})

test('a store that fails to read once is asked again, by the same request too', async (t) => {
  const server = await startServer(t)
  const memory = memoryStore()
  let failures = 1
  const { app, origin } = await startApp(t, server, withStore({
    ...memory,
    get: async (context) => {
      if (context.request.method === 'GET' && failures-- > 0) throw new Error('a hiccup')
      return await memory.get(context)
    }
  }))
  await save(app, await server.issue())
  t.equal((await new Browser(origin).get('/token', alice)).status, 200, 'the hook met the failure, the handler did not')
})

test('a store that fails to keep a login is a 503 with its cause', async (t) => {
  const server = await startServer(t)
  const cause = new Error('the disk is full')
  const { app } = await startApp(t, server, withStore({ ...memoryStore(), set: () => Promise.reject(cause) }))
  const saved = await save(app, await server.issue())
  t.equal(saved.statusCode, 503)
  t.match(saved.json(), { code: 'FST_TOKEN_STORE_FAILED', message: /failed to write/ })
})

test('a store that fails to clear is told to whoever wanted it, and the session is over in this process all the same', async (t) => {
  const server = await startServer(t)
  const { app, origin } = await startApp(t, server, { ...withStore({ ...memoryStore(), clear: () => Promise.reject(new Error('read only')) }), session: { key: sessionKey }, logout: {} })
  const issued = await server.issue()
  await save(app, issued)
  const browser = new Browser(origin)
  const answer = await browser.post('/auth/logout', alice)
  t.equal(answer.status, 503)
  t.match(answer.json, { code: 'FST_TOKEN_STORE_FAILED', message: /failed to clear/ })
  t.equal(server.isAlive(issued.access_token), false)
  t.equal((await browser.get('/token', alice)).status, 401)
})

test('a store that fails to keep a successor loses nothing: this request has its token, and a later one writes it', async (t) => {
  const server = await startServer(t, { expiresIn: 60 })
  const memory = memoryStore()
  let isBroken = false
  const { app, origin, clock, log } = await startApp(t, server, withStore({
    ...memory,
    set: (context, tokens) => {
      if (isBroken) throw new Error('the disk is full')
      return memory.set(context, tokens)
    }
  }))
  await save(app, await server.issue())
  clock.now += 61
  isBroken = true
  const browser = new Browser(origin)
  const { status, json } = await browser.get('/token', alice)
  t.equal(status, 200)
  t.ok(server.whoHas(String(json.token)))
  t.ok(log.some((line) => line.includes('"level":50') && line.includes('the disk is full')))
  t.equal(memory.sessions.get('default alice')?.generation, 0)
  isBroken = false
  t.equal((await browser.get('/token', alice)).json.token, json.token)
  t.equal(memory.sessions.get('default alice')?.generation, 1)
  t.equal(server.refreshes, 1)
})

test('what a store throws with a code of this plugin goes through as it is', async (t) => {
  const server = await startServer(t, { tokenBytes: 4000 })
  const { app } = await startApp(t, server)
  const saved = await save(app, await server.issue())
  t.match(saved.json(), { code: 'FST_TOKEN_SESSION_TOO_LARGE' })
})

test('once the headers are sent, only a store on the server lets a token be refreshed', async (t) => {
  const server = await startServer(t, { expiresIn: 60 })
  const late = (app: FastifyInstance) => {
    for (const [path, late] of [
      ['/late', (request: FastifyRequest) => request.accessToken()],
      ['/late/save', (request: FastifyRequest) => request.tokens.save({ access_token: 'x', token_type: 'bearer' })],
      ['/late/clear', (request: FastifyRequest) => request.tokens.clear()]
    ] as const) {
      app.get(path, async (request, reply) => {
        reply.hijack()
        reply.raw.writeHead(200).flushHeaders()
        await late(request).then(() => reply.raw.end('ok'), (error) => reply.raw.end(error.code))
      })
    }
  }
  const store = memoryStore()
  const onServer = await startApp(t, server, { ...withStore(store), refresh: 'manual', routes: late })
  await save(onServer.app, await server.issue())
  onServer.clock.now += 61
  t.equal((await new Browser(onServer.origin).get('/late', alice)).text, 'ok')
  t.equal(store.sessions.get('default alice')?.generation, 1)

  const inCookie = await startApp(t, server, { refresh: 'manual', routes: late })
  const browser = await inCookie.login()
  t.equal((await browser.get('/late')).text, 'ok', 'a valid token needs nothing')
  inCookie.clock.now += 61
  server.forgetRequests()
  for (const path of ['/late', '/late/save']) t.equal((await browser.get(path)).text, 'FST_TOKEN_HEADERS_SENT', path)
  t.equal(server.tokenRequests, 0, 'nothing is spent that could not be kept')
  t.equal((await browser.get('/token')).status, 200)
  t.equal((await browser.get('/late/clear')).text, 'FST_TOKEN_HEADERS_SENT')
  t.equal((await browser.get('/token')).status, 401, 'the cookie could not be deleted, but the session is over')
})

test('touch is called as a response is sent that used the session and did not change it', async (t) => {
  const server = await startServer(t, { expiresIn: 60 })
  const store = memoryStore()
  const { app, origin, clock } = await startApp(t, server, {
    ...withStore({ ...store, touch: (context) => { store.calls.push({ method: 'touch', context }) } }),
    refresh: 'manual',
    routes: (app) => app.get('/nothing', () => ({}))
  })
  const browser = new Browser(origin)
  const methods = async (path: string) => {
    store.calls.length = 0
    await browser.get(path, alice)
    return store.calls.map(({ method }) => method)
  }
  t.strictSame(await methods('/token'), ['get'], 'nobody is logged in')
  await save(app, await server.issue())
  t.strictSame(await methods('/token'), ['get', 'touch'])
  t.strictSame(await methods('/nothing'), [])
  clock.now += 61
  t.strictSame(await methods('/token'), ['get', 'set'])
})

test('a touch that fails is logged, and fails no response', async (t) => {
  const server = await startServer(t)
  const { app, origin, log } = await startApp(t, server, withStore({ ...memoryStore(), touch: () => { throw new Error('no touching') } }))
  await save(app, await server.issue())
  t.equal((await new Browser(origin).get('/token', alice)).status, 200)
  t.ok(log.some((line) => line.includes('no touching')))
})

test('a client that leaves while its tokens are refreshed loses nothing', async (t) => {
  const server = await startServer(t, { expiresIn: 60 })
  const memory = memoryStore()
  const { app, origin, clock } = await startApp(t, server, withStore(asyncStore(memory)))
  await save(app, await server.issue())
  clock.now += 61
  const stop = new AbortController()
  const gate = server.hold()
  const left = fetch(`${origin}/token`, { headers: alice, signal: stop.signal }).catch(() => 'left')
  await gate.arrived()
  stop.abort()
  t.equal(await left, 'left')
  const answer = new Browser(origin).get('/token', alice)
  gate.release()
  t.equal((await answer).status, 200)
  t.equal(memory.sessions.get('default alice')?.generation, 1)
  t.equal(server.refreshes, 1)
})

test('F5 a store on the server gets what a refresh brings behind its request', async (t) => {
  const server = await startServer(t)
  const store = memoryStore()
  const { app, clock, origin } = await startApp(t, server, { ...withStore(store), session: { key: sessionKey } })
  await save(app, await server.issue())
  clock.now += 250
  const gate = server.hold()
  t.equal((await new Browser(origin).get('/token', alice)).status, 200)
  gate.release()
  await app.close()
  t.equal(server.refreshes, 1)
  const [kept] = [...store.sessions.values()]
  t.equal(kept?.refreshToken, server.families[0]?.newestRefreshToken)
})
