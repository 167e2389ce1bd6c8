/* The store of sessions on Redis: a real one, and a strict authorization server. */
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import cookie from '@fastify/cookie'
import appSession from '@fastify/session'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import tokenManagement, { type TokenManagementOptions, type TokenResponse, type TokenStore } from '../../lib/index.ts'
import { type RedisClient, redisRefreshCoordinator, redisTokenStore } from '../../lib/redis.ts'
import { tokenStoreConformance } from '../../lib/testing.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { disguises, dumpOf } from '../support/disguises.ts'
import { authorize, logIn, type LoginApp, type LoginAppOptions, startLogin, startLoginApp } from '../support/login-flow.ts'
import { connect, joinCluster, startRedis, type TestRedis, whyNotRedis } from '../support/redis-server.ts'
import { sessionKey } from '../support/start-app.ts'
import { openSocket } from '../support/web-socket.ts'

const skip = whyNotRedis()
const issuer = 'https://idp.example.com'

async function start (t: Test, redis: TestRedis, { timeout = 2, ...options }: LoginAppOptions & { timeout?: number } = {}): Promise<LoginApp> {
  return await startLoginApp(t, { tokenStore: redisTokenStore({ redis: connect(t, redis), timeout }), ...options })
}

/** What the kit is given: an app with two registrations on this client. */
async function conforming (app: FastifyInstance, client: RedisClient, how: 'decorated' | 'option' = 'option'): Promise<TokenStore> {
  const tokenStore = redisTokenStore({ redis: client, timeout: 2 })
  if (how === 'decorated') app.decorate('tokenStore', tokenStore)
  for (const name of ['default', 'other']) {
    await app.register(tokenManagement, { ...by(name), ...how === 'option' && { tokenStore } })
  }
  return app.tokenStore
}

/** A registration whose provider nobody asks for anything. */
function by (name: string): TokenManagementOptions {
  return { name, metadata: { issuer, token_endpoint: `${issuer}/token` }, clientId: 'web', clientSecret: 'secret', session: { key: sessionKey } }
}

/** How many commands the clients have sent, or their scripts. */
async function commandsOf (t: Test, redis: TestRedis): Promise<() => Promise<number>> {
  const client = connect(t, redis)
  return async () => Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))?.[1])
}

t.test('the store on Redis conforms, decorated and as an option', { skip, timeout: 120_000 }, async (t) => {
  for (const how of ['decorated', 'option'] as const) {
    await t.test(how, async (t) => {
      let redis = await startRedis(t)
      await tokenStoreConformance(t, async (app) => await conforming(app, connect(t, redis), how), { breakDown: () => redis.stop() })
      redis = await startRedis(t)
    })
  }
})

t.test('a Cluster of three nodes, and a client that puts a prefix before all keys, serve as well', { skip, timeout: 120_000 }, async (t) => {
  const nodes = await Promise.all([1, 2, 3].map(async (number) => await startRedis(t, ['--cluster-enabled', 'yes', '--cluster-config-file', `store-nodes-${process.pid}-${number}.conf`, '--dir', tmpdir()])))
  joinCluster(nodes)
  const cluster = new Cluster([{ port: nodes[0]?.port ?? 0, host: '127.0.0.1' }])
  t.teardown(() => { cluster.disconnect() })
  await tokenStoreConformance(t, async (app) => await conforming(app, cluster))
  const redis = await startRedis(t)
  const prefixed = connect(t, redis, { keyPrefix: 'shop:' })
  await tokenStoreConformance(t, async (app) => await conforming(app, prefixed))
  const keys = await connect(t, redis).keys('*')
  t.ok(keys.length > 0)
  t.strictSame(keys.filter((key) => !key.startsWith('shop:tokens:')), [])
})

t.test('what is wrong fails the boot, and says what to do', { skip }, async (t) => {
  const client = connect(t, await startRedis(t))
  const store = () => redisTokenStore({ redis: client })
  for (const timeout of [0, -1, 11, NaN]) t.throws(() => redisTokenStore({ redis: client, timeout }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /timeout must be more than 0 and at most 10/ })
  const { session, ...keyless } = by('default')
  const wrong: Array<[RegExp, (app: FastifyInstance) => unknown]> = [
    [/session\.key is required: 32 random bytes/, (app) => app.register(tokenManagement, { ...keyless, tokenStore: store() })],
    [/session\.key is required: 32 random bytes/, (app) => app.decorate('tokenStore', store()).register(tokenManagement, keyless)],
    [/session\.key is required with a tokenStore that is made for it/, async (app) => {
      await app.register(cookie)
      await app.register(appSession, { secret: 'a secret of the session, long enough' })
      await app.register(tokenManagement, { ...keyless, tokenStore: store() })
    }],
    [/tokenStore: app\.tokenStore is decorated already\. Give one of the two/, (app) => app.decorate('tokenStore', store()).register(tokenManagement, { ...by('default'), tokenStore: store() })],
    [/tokenStore must be a function that gives a store at once, such as redisTokenStore.*get, set, clear/, (app) => app.register(tokenManagement, { ...by('default'), tokenStore: () => ({}) as TokenStore })],
    [/tokenStore must be a function/, (app) => app.register(tokenManagement, { ...by('default'), tokenStore: {} as never })],
    [/the route GET \/inside: app\.tokenStore is a factory: decorate it where the plugin is registered/, async (app) => {
      await app.register(tokenManagement, by('default'))
      await app.register(async (inside) => { inside.decorate('tokenStore', store()).get('/inside', async () => ({})) })
    }],
    [/session\.cookieName: another registration of this app has the session cookie/, (app) => app
      .register(async (inside) => { await inside.register(tokenManagement, { ...by('default'), tokenStore: store() }) })
      .register(async (inside) => { await inside.register(tokenManagement, by('default')) })]
  ]
  for (const [message, build] of wrong) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => {
      await build(app)
      await app.ready()
    }, { code: 'FST_TOKEN_INVALID_OPTIONS', message })
  }
})

t.test('without a coordinator the log says at boot that several processes need one', { skip }, async (t) => {
  const redis = await startRedis(t)
  const said = async (options: LoginAppOptions) => (await start(t, redis, options)).log.filter((line) => line.includes('there is no coordinator'))
  t.equal((await said({})).length, 1)
  t.equal((await said({ coordinator: redisRefreshCoordinator({ redis: connect(t, redis) }) })).length, 0)
})

t.test('of two registrations one has its sessions on Redis, and the other one in its cookie; an encapsulated store of the app\'s own is not asked for them', { skip }, async (t) => {
  const redis = await startRedis(t)
  const asked: string[] = []
  const { origin, server } = await start(t, redis, {
    tokenStore: undefined,
    routes: async (app) => {
      await app.register(tokenManagement, { ...by('stored'), session: { key: sessionKey, cookie: { secure: false } }, tokenStore: redisTokenStore({ redis: connect(t, redis) }) })
      for (const provider of ['default', 'stored']) {
        app.post<{ Body: TokenResponse }>(`/${provider}`, async (request) => { await request.tokens.save(request.body, { provider }); return {} })
        app.get(`/${provider}`, async (request) => ({ token: await request.accessToken({ provider }) }))
      }
      await app.register(async (inside) => {
        inside.decorate('tokenStore', { get: () => { asked.push('inside'); return null }, set () {}, clear () {} })
        inside.get('/inside', async (request) => ({ token: await request.accessToken({ provider: 'stored', optional: true }) }))
        inside.get('/list', async () => await inside.tokenSessions.list({ sub: 'alice' }))
      })
    }
  })
  const browser = new Browser(origin)
  const issued = await server.issue()
  for (const provider of ['default', 'stored']) {
    t.equal((await browser.send('POST', `/${provider}`, { 'content-type': 'application/json' }, JSON.stringify(issued))).status, 200)
    t.equal((await browser.get(`/${provider}`)).json.token, issued.access_token)
  }
  t.match(Object.fromEntries(browser.cookies), { tokens: /^1\.\d+\./, 'stored-tokens': /^[\w-]{43}$/ })
  t.strictSame([(await browser.get('/inside')).json, [...new Set(asked)]], [{ token: null }, ['inside']])
  t.match((await browser.get('/list')).json, { code: 'FST_TOKEN_STORE_NO_DIRECTORY' })
})

t.test('an app on Redis', { skip, timeout: 120_000 }, async (t) => {
  const redis = await startRedis(t)
  const client = connect(t, redis)
  t.beforeEach(async () => { await client.flushall() })
  const records = async () => await client.keys('tokens:session:*')

  t.test('the cookie is a random id of 256 bits and nothing else, as safe as any, and the response is nobody else\'s', async (t) => {
    const { browser } = await start(t, redis)
    const { setCookies, headers } = await logIn(browser)
    const [cookie = ''] = setCookies.filter((each) => each.startsWith('tokens='))
    t.match(cookie, /^tokens=[\w-]{43}; Max-Age=604800; Path=\/; HttpOnly; SameSite=Lax$/)
    t.equal(Buffer.from(browser.cookies.get('tokens') ?? '', 'base64url').length, 32)
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal((await browser.get('/token')).status, 200)
    const overHttps = await start(t, redis, { session: { key: sessionKey, cookie: { secure: true } } })
    await logIn(overHttps.browser)
    t.match([...overHttps.browser.cookies.keys()], ['__Host-tokens'])
  })

  t.test('one command for a request that asks for its token, once or often, none for others, and none for cookies that are no ids', async (t) => {
    const { browser, server, clock } = await start(t, redis, {
      routes: (app) => {
        app.get('/thrice', async (request) => [await request.accessToken(), await request.tokens.claims(), await request.tokens.get()])
        app.get('/nothing', async () => ({}))
      }
    })
    await logIn(browser)
    const commands = await commandsOf(t, redis)
    let before = await commands()
    const cost = async () => {
      const sum = await commands() - before - 1 // the question itself
      before += sum + 1
      return sum
    }
    for (const [path, commands] of [['/token', 1], ['/thrice', 1], ['/nothing', 0], ['/token', 1]] as const) {
      t.equal((await browser.get(path)).status, 200)
      t.equal(await cost(), commands, path)
    }
    const rubbish = new Browser(browser.origin, [['tokens', 'rubbish']])
    t.equal((await rubbish.get('/token')).status, 401)
    t.equal(await cost(), 0)
    clock.now += 301
    t.equal((await browser.get('/token')).status, 200)
    t.ok(await cost() >= 2, 'a refresh reads and writes')
    t.equal(server.refreshes, 1)
  })

  t.test('the page on sessions on the server says what each step costs', async (t) => {
    const [, page = ''] = readFileSync('docs/server-side-sessions.md', 'utf8').split('## What it costs')
    const said = (step: string) => Number(page.split('\n').find((line) => line.startsWith(`| ${step}`))?.split('|')[2]?.match(/\d+/)?.[0])
    let commands = 0
    const counting: RedisClient = {
      get status () { return client.status },
      callBuffer: async (...command) => { commands++; return await client.callBuffer(...command) },
      duplicate: () => client.duplicate(),
      on: (event, listener) => client.on(event, listener),
      off: (event, listener) => client.off(event, listener)
    }
    const { app, browser, clock, server } = await start(t, redis, { tokenStore: redisTokenStore({ redis: counting, timeout: 2 }) })
    await logIn(browser)
    clock.now += 301
    await browser.get('/token')
    await browser.post('/auth/logout') // Redis has each script by now
    const costs = async (step: string, work: () => Promise<unknown>) => {
      commands = 0
      await work()
      t.equal(commands, said(step), step)
    }
    browser.cookies.clear()
    await costs('a login', () => logIn(browser))
    await costs('a request that asks for its token', () => browser.get('/token'))
    clock.now += 301
    await costs('a refresh', () => browser.get('/token'))
    t.equal(server.refreshes, 2)
    await client.flushall()
    browser.cookies.clear()
    await logIn(browser)
    const [session] = await app.tokenSessions.list({ sub: 'alice' })
    await costs('`app.tokenSessions.get`', () => app.tokenSessions.list({ sub: 'alice' }))
    await costs('`accessToken()`', async () => { await session?.accessToken() })
    await costs('`accessToken()`', async () => { await session?.claims() })
    await costs('a logout', () => browser.post('/auth/logout'))
    browser.cookies.clear()
    await logIn(browser)
    await costs('`app.tokenSessions.end`', () => app.tokenSessions.end({ sub: 'alice' }))
  })

  t.test('the inactivity time is pushed back by use, written once in half of it, and ends the session; so does the absolute time', async (t) => {
    const { browser, clock } = await start(t, redis, { server: { expiresIn: 1_000_000 }, session: { key: sessionKey, inactivityDuration: 100, absoluteDuration: 300 } })
    await logIn(browser)
    const [key = ''] = await records()
    t.ok(await client.pttl(key) <= 100_000)
    const value = async () => await client.getBuffer(key)
    const first = await value()
    clock.now += 49
    t.equal((await browser.get('/token')).status, 200)
    t.strictSame(await value(), first)
    clock.now += 2
    t.equal((await browser.get('/token')).status, 200)
    t.notSame(await value(), first)
    clock.now += 99
    t.equal((await browser.get('/token')).status, 200, 'from its last use')
    clock.now += 101
    t.equal((await browser.get('/token')).status, 401)
    await logIn(browser)
    for (const seconds of [90, 90, 90]) {
      clock.now += seconds
      t.equal((await browser.get('/token')).status, 200)
    }
    const ttls = await Promise.all((await records()).map((key) => client.pttl(key)))
    t.ok(Math.min(...ttls) <= 30_000, 'Redis forgets it when it is over')
    clock.now += 31
    t.equal((await browser.get('/token')).status, 401)
  })

  t.test('a page is told when its session ends: by its last use, which a request that counts as use pushes back at once', async (t) => {
    const { browser, clock } = await start(t, redis, { session: { key: sessionKey, inactivityDuration: 1000 }, bff: { session: true } })
    clock.now = Math.floor(clock.now)
    await logIn(browser)
    const left = async (query = '') => (await browser.get(`/auth/session${query}`, { 'x-csrf': '1' })).json.expiresIn
    t.equal(await left(), 1000)
    clock.now += 400
    t.equal(await left(), 600, 'it is written only once in half of that time')
    clock.now += 200
    t.equal(await left('?slide=false'), 400)
    t.equal(await left(), 1000)
    t.equal(await left('?slide=false'), 1000)
    clock.now += 301
    t.equal((await browser.get('/token')).status, 200)
    t.equal(await left('?slide=false'), 1000, 'a refresh is a use')
  })

  t.test('a login gets an id that nobody has seen before, and what was there is gone (session fixation)', async (t) => {
    const { browser } = await start(t, redis)
    const chosen = 'A'.repeat(43)
    browser.cookies.set('tokens', chosen)
    await logIn(browser)
    t.not(browser.cookies.get('tokens'), chosen)
    const before = browser.clone()
    await logIn(browser)
    t.not(browser.cookies.get('tokens'), before.cookies.get('tokens'))
    t.equal((await before.get('/token')).status, 401)
    t.equal((await new Browser(browser.origin, [['tokens', chosen]]).get('/token')).status, 401)
    t.equal((await records()).length, 1)
  })

  t.test('hostile cookies are nobody: of another length, twice, with what is no id, of another registration', async (t) => {
    const { browser, origin } = await start(t, redis, {
      routes: async (app) => {
        await app.register(tokenManagement, { ...by('other'), session: { key: sessionKey, cookie: { secure: false } }, tokenStore: redisTokenStore({ redis: connect(t, redis) }) })
        app.get('/other', async (request) => ({ token: await request.accessToken({ provider: 'other' }) }))
      }
    })
    await logIn(browser)
    const id = browser.cookies.get('tokens') ?? ''
    const ask = async (cookie: string, path = '/token') => (await new Browser(origin).get(path, { cookie })).status
    for (const value of ['', 'x', `${id}A`, id.slice(1), `${id.slice(0, -1)}*`, `"${id}"`, `${id}%00`, '../'.repeat(20), '{}'.repeat(20), 'A'.repeat(4000)]) t.equal(await ask(`tokens=${value}`), 401, value)
    t.equal(await ask(`tokens=${'B'.repeat(43)}; tokens=${id}`), 200, 'a stranger\'s beside it')
    t.equal(await ask(`other-tokens=${id}`, '/other'), 401)
    t.equal(await ask(`tokens=${id}`), 200)
  })

  t.test('a record under another id opens nothing, and neither does one that is broken or of another format', async (t) => {
    const { browser } = await start(t, redis)
    await logIn(browser)
    const alice = browser.clone()
    browser.cookies.clear()
    const [ofAlice = ''] = await records()
    await logIn(browser)
    const [ofBob = ''] = (await records()).filter((key) => key !== ofAlice)
    t.equal((await browser.get('/token')).status, 200)
    const sealed = await client.getBuffer(ofAlice) ?? ''
    for (const value of [sealed, 'rubbish', '0\n', '0\nrubbish', '']) {
      await client.set(ofBob, value)
      t.equal((await browser.get('/token')).status, 401)
    }
    t.equal((await alice.get('/token')).status, 200)
  })

  t.test('a dump holds no token, no secret, no cookie, and nobody\'s name', async (t) => {
    const { browser, server, clock } = await start(t, redis, { coordinator: redisRefreshCoordinator({ redis: client }) })
    await logIn(browser)
    const ids = [browser.cookies.get('tokens') ?? '']
    clock.now += 301
    t.equal((await browser.get('/token')).status, 200)
    const { keys, text } = await dumpOf(client)
    t.ok(keys.length > 5)
    const secrets = [...server.tokens, ...ids, server.settings.clientSecret, server.settings.user, sessionKey]
    t.strictSame(secrets.flatMap(disguises).filter((secret) => text.includes(secret)), [])
  })

  t.test('a new key in front opens what the one before it has sealed, and seals it again; without the old one, then, nothing is lost', async (t) => {
    const key = (letter: string) => Buffer.alloc(32, letter)
    const before = await start(t, redis, { session: { key: key('a') } })
    await logIn(before.browser)
    const { issuer } = before.server
    const browsing = async (keys: Buffer[]) => {
      const app = await start(t, redis, { issuer, session: { key: keys } })
      return { app, status: (await before.browser.through(app.origin).get('/token')).status }
    }
    t.equal((await browsing([key('x')])).status, 401, 'another key opens nothing')
    t.equal((await browsing([key('b'), key('a')])).status, 200)
    const { app, status } = await browsing([key('b')])
    t.equal(status, 200)
    const [session] = await app.app.tokenSessions.list({ sub: before.server.settings.user })
    t.ok(session, 'and it is found')
  })

  t.test('refreshed after the headers are sent, and on a WebSocket handshake; a login then is refused', async (t) => {
    const { browser, server, clock } = await start(t, redis, {
      routes: async (app) => {
        await app.register(websocket)
        app.get('/socket', { websocket: true, onRequest: app.requireAccessToken }, (socket, request) => {
          socket.on('message', () => { request.accessToken().then((token) => socket.send(token), () => socket.send('nobody')) })
        })
        app.get('/stream', async (request, reply) => {
          reply.hijack()
          reply.raw.writeHead(200)
          reply.raw.write('begun ')
          clock.now += 301
          reply.raw.end(await request.accessToken())
        })
        app.get('/late-login', async (request, reply) => {
          reply.hijack()
          reply.raw.writeHead(200)
          const refused = await request.tokens.save({ access_token: 'a', token_type: 'Bearer' }).then(() => 'kept', (error: { code?: string }) => error.code)
          reply.raw.end(refused)
        })
      }
    })
    await logIn(browser)
    const { text } = await browser.get('/stream')
    t.match(text, /^begun \S+$/)
    t.equal(server.refreshes, 1)
    t.equal((await browser.get('/token')).json.token, text.slice('begun '.length), 'the successor is in the store')
    clock.now += 301
    const socket = await openSocket(browser, '/socket')
    t.equal(server.refreshes, 2, 'by the handshake')
    const tokens = new Set<string>()
    for (let count = 0; count < 10; count++) {
      clock.now += 301
      tokens.add(await socket.ask('token?'))
    }
    t.equal(tokens.size, 10, 'a WebSocket lives for ten access tokens')
    t.equal(server.refreshes, 12)
    t.equal((await browser.get('/token')).json.token, [...tokens].at(-1))
    socket.close()
    t.equal((await browser.get('/late-login')).text, 'FST_TOKEN_HEADERS_SENT')
    t.equal((await browser.get('/token')).status, 200)
  })

  t.test('a logout ends the record and the cookie, and a refresh under way brings nothing back', async (t) => {
    const { browser, server, clock } = await start(t, redis)
    await logIn(browser)
    const copy = browser.clone()
    clock.now += 301
    const gate = server.hold()
    const refreshing = copy.get('/token')
    await gate.arrived()
    const leaving = browser.post('/auth/logout', { accept: 'application/json' })
    gate.release()
    t.equal((await leaving).status, 200)
    await refreshing
    t.equal(browser.cookies.has('tokens'), false)
    t.equal((await copy.get('/token')).status, 401)
    t.strictSame(await records(), [])
    t.strictSame(await client.keys('*:index'), [])
  })

  t.test('a write that crosses an end in another process brings nothing back, though the two share nothing else', async (t) => {
    const here = await start(t, redis)
    const there = await start(t, redis, { issuer: here.server.issuer, routes: (app) => app.post('/clear', async (request) => { await request.tokens.clear(); return {} }) })
    await logIn(here.browser)
    const copy = here.browser.clone()
    for (const { clock } of [here, there]) clock.now += 301
    const gate = here.server.hold()
    const refreshing = here.browser.get('/token')
    await gate.arrived()
    t.equal((await copy.through(there.origin).post('/clear')).status, 200)
    gate.release()
    t.equal((await refreshing).status, 200, 'it was begun before')
    t.strictSame(await records(), [])
    t.equal((await here.browser.get('/token')).status, 401)
  })

  t.test('a login that comes twice makes one record, also at another process and after a refresh', async (t) => {
    const here = await start(t, redis, { coordinator: redisRefreshCoordinator({ redis: client, timeout: 2 }) })
    const there = await start(t, redis, { issuer: here.server.issuer, coordinator: redisRefreshCoordinator({ redis: client, timeout: 2 }) })
    const callback = await authorize(await startLogin(here.browser))
    const again = here.browser.clone()
    t.equal((await here.browser.get(callback)).status, 303)
    for (const { clock } of [here, there]) clock.now += 20
    t.equal((await here.browser.get('/token')).status, 200)
    t.equal((await again.through(there.origin).get(callback)).status, 303)
    t.equal((await records()).length, 1)
    t.equal((await again.through(there.origin).get('/token')).status, 200)
    t.equal(again.cookies.get('tokens'), here.browser.cookies.get('tokens'))
  })

  t.test('a session of any size is kept, read, and handed to who waits for it in another process', async (t) => {
    const coordinated = () => ({ coordinator: redisRefreshCoordinator({ redis: client, timeout: 2 }) })
    const here = await start(t, redis, coordinated())
    const there = await start(t, redis, { issuer: here.server.issuer, ...coordinated() })
    const large = (name: string) => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ name, roles: Array.from({ length: 50_000 }, (_, number) => `role ${number}`) })).toString('base64url')}.x`
    const browser = await here.save({ ...await here.server.issue(), access_token: large('first') })
    t.equal((await browser.get('/token')).json.token, large('first'))
    for (const { clock } of [here, there]) clock.now += 301
    const gate = here.server.hold()
    here.server.fault(faults.members({ access_token: large('second') }))
    const answers = [here, there].map(({ origin }) => browser.through(origin).clone().get('/token'))
    await gate.arrived()
    gate.release()
    for (const { json } of await Promise.all(answers)) t.equal(json.token, large('second'))
    t.equal(here.server.refreshes, 1)
  })

  t.test('the chunks of a session that was in cookies go at the next login', async (t) => {
    const { browser } = await start(t, redis)
    for (const name of ['tokens.0', 'tokens.1']) browser.cookies.set(name, '2.before')
    await logIn(browser)
    t.strictSame([...browser.cookies.keys()], ['tokens'])
  })
})
