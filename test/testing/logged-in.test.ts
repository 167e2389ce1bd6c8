import { setImmediate } from 'node:timers/promises'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import tokenManagement, { type SessionEndedEvent, type StoreContext, type TokenManagementOptions, type TokenSet, type TokenStore } from '../../lib/index.ts'
import { redisTokenStore } from '../../lib/redis.ts'
import { connect, startRedis, whyNotRedis } from '../support/redis-server.ts'
import { sessionKey } from '../support/start-app.ts'

/* Somebody who is logged in for a test: in every store, as after a login, and by no request from outside. */

const issuer = 'https://idp.example.com'
const metadata = { issuer, token_endpoint: `${issuer}/token`, authorization_endpoint: `${issuer}/authorize`, end_session_endpoint: `${issuer}/logout` }
const options: TokenManagementOptions = { metadata, clientId: 'web', clientSecret: 'a secret', session: { key: sessionKey } }
const login = { callbackUri: 'https://app.example.com/auth/callback', scope: ['openid', 'offline_access'] }

// As in production: nobody has imported the kit when this one is built.
const early = await built({})

const { loggedIn, testProvider } = await import('../../lib/testing.ts')
t.teardown(() => early.close())

interface Surroundings extends Partial<TokenManagementOptions> {
  readonly fastify?: FastifyServerOptions
  /** Before the plugin is registered. */
  readonly before?: (app: FastifyInstance) => unknown
}

async function built ({ before, fastify, ...given }: Surroundings): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true, ...fastify })
  await before?.(app)
  await app.register(tokenManagement, given.issuer === undefined ? { ...options, ...given } : { ...options, metadata: undefined, ...given })
  addRoutes(app)
  return app
}

function addRoutes (app: FastifyInstance): void {
  app.get('/me', async (request) => ({ token: await request.accessToken(), claims: await request.tokens.claims() }))
  app.get('/tokens', async (request) => ({ ...await request.tokens.get() }))
}

async function build (t: Test, surroundings: Surroundings = {}): Promise<FastifyInstance> {
  const app = await built(surroundings)
  t.teardown(() => app.close())
  return app
}

/** A store of the app's own, which goes by a cookie. */
class MapStore implements TokenStore {
  readonly sessions = new Map<string, TokenSet>()
  held: Promise<void> | undefined

  get ({ request }: StoreContext): TokenSet | null {
    return this.sessions.get(/sid=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1] ?? '') ?? null
  }

  async set ({ reply }: StoreContext, tokens: TokenSet): Promise<void> {
    await this.held
    this.sessions.set(tokens.sessionId, tokens)
    reply.header('set-cookie', `sid=${tokens.sessionId}; Path=/; HttpOnly`)
  }

  clear (context: StoreContext): void {
    const tokens = this.get(context)
    if (tokens !== null) this.sessions.delete(tokens.sessionId)
    context.reply.header('set-cookie', 'sid=; Path=/; Max-Age=0')
  }
}

const appSession = async (app: FastifyInstance, secure: boolean) => {
  await app.register(cookie)
  await app.register(session, { secret: 'a secret of the session, long enough', cookie: { secure } })
}

const stores: Record<string, { skip?: string | false, surroundings: (t: Test) => Promise<Surroundings> | Surroundings }> = {
  'in cookies': { surroundings: () => ({}) },
  'in @fastify/session': { surroundings: () => ({ before: (app) => appSession(app, false) }) },
  'in @fastify/session, whose cookie is Secure': { surroundings: () => ({ before: (app) => appSession(app, true) }) },
  'in @fastify/session behind a proxy': { surroundings: () => ({ fastify: { trustProxy: true }, before: (app) => appSession(app, true) }) },
  'on Redis': { skip: whyNotRedis(), surroundings: async (t) => ({ tokenStore: redisTokenStore({ redis: connect(t, await startRedis(t)) }) }) },
  'in a store of the option tokenStore': { surroundings: () => ({ tokenStore: () => new MapStore() }) },
  'in a decorated store': { surroundings: () => ({ before: (app) => { app.decorate('tokenStore', new MapStore()) } }) }
}

for (const [name, { skip = false, surroundings }] of Object.entries(stores)) {
  t.test(`somebody is logged in ${name}, has the tokens refreshed, and logs out`, { skip }, async (t) => {
    const provider = await testProvider({ idTokenClaims: { name: 'Alice' } })
    t.teardown(() => provider.close())
    const ended: SessionEndedEvent[] = []
    const app = await build(t, { issuer: provider.issuer, clock: provider.clock, login, onSessionEnded: (event) => { ended.push(event) }, ...await surroundings(t) })

    const browser = await loggedIn(app, { claims: { sub: 'alice', email: 'alice@example.com' } })
    const me = await browser.inject('/me')
    t.match(me.json(), { token: /^[\w-]{43}$/, claims: { sub: 'alice', email: 'alice@example.com' } }, me.body)
    t.equal((await app.inject('/me')).statusCode, 401, 'and nobody else')
    t.equal((await app.inject({ url: '/me', headers: { cookie: browser.cookie } })).statusCode, 200, 'whoever sends the cookie')

    const tokens = await provider.issue()
    const { inject } = await loggedIn(app, { tokens })
    t.match((await inject('/me')).json(), { token: tokens.access_token, claims: { sub: 'alice', name: 'Alice' } })
    provider.advance(301)
    const { token } = (await inject('/me')).json()
    t.equal(provider.whoHas(token)?.sub, 'alice')
    t.equal((await inject('/me')).json().token, token, 'what the first answer has set is sent')
    t.equal(provider.refreshes, 1)

    const logout = await inject({ method: 'POST', url: '/auth/logout', headers: { 'sec-fetch-site': 'same-origin', accept: 'application/json' } })
    t.equal(logout.statusCode, 200)
    const { redirectTo } = logout.json()
    t.match(decodeURIComponent(String((await inject(redirectTo)).headers.location)), `id_token_hint=${String(tokens.id_token).slice(0, 20)}`)
    t.equal((await inject('/me')).statusCode, 401)
    t.equal(provider.isAlive(tokens.refresh_token), false, 'the tokens are revoked')
    await setImmediate() // events are told behind the answer
    t.strictSame(ended.map(({ reason, provider }) => [reason, provider]), [['logout', 'default']])
    t.equal((await browser.inject('/me')).statusCode, 200, 'the other one goes on')
  })
}

t.test('nobody comes in over the network, not even while a test does', async (t) => {
  const store = new MapStore()
  let release = () => {}
  store.held = new Promise((resolve) => { release = resolve })
  const paths: string[] = []
  const app = await build(t, {
    tokenStore: () => store,
    before: (app) => {
      app.addHook('onRoute', ({ url }) => { paths.push(url) })
      app.setNotFoundHandler((_request, reply) => reply.code(404).send('no such page'))
    }
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const [entrance = '', ...others] = paths.filter((path) => /^\/[\da-f-]{36}$/.test(path))
  t.strictSame(others, [], 'it is one path')
  const coming = loggedIn(app)
  for (const method of ['GET', 'HEAD', 'POST']) {
    const answer = await fetch(origin + entrance, { method, headers: { 'x-forwarded-proto': 'https' } })
    t.equal(answer.status, 404, method)
    t.equal(await answer.text(), method === 'HEAD' ? '' : 'no such page')
    t.strictSame(answer.headers.getSetCookie(), [])
  }
  t.equal((await app.inject(entrance)).statusCode, 404, 'nor by inject')
  release()
  const { inject } = await coming
  t.equal((await inject('/me')).statusCode, 200)
  t.equal((await inject(entrance)).statusCode, 404)
  t.equal(store.sessions.size, 1)
})

t.test('an app that was built before the kit was imported has nothing of it, and lets nobody in', async (t) => {
  t.notMatch(early.printRoutes({ commonPrefix: false }), /[\da-f]{8}-/)
  t.match((await build(t)).printRoutes({ commonPrefix: false }), /[\da-f]{8}-/)
  await t.rejects(loggedIn(early), /import fastify-token-management\/testing before the app is built/)
  await t.rejects(loggedIn(Fastify()), /Register the plugin/)
})

t.test('with DPoP the session has a key: its own, or that of the tokens which the provider has bound', async (t) => {
  const provider = await testProvider({ dpop: true })
  t.teardown(() => provider.close())
  const app = await build(t, { issuer: provider.issuer, clock: provider.clock, dpop: true })
  app.get('/proof', async (request) => ({ proof: await request.tokens.dpopProof({ htm: 'GET', htu: 'https://api.example.com' }) }))
  const { inject } = await loggedIn(app)
  t.equal((await inject('/proof')).json().proof.split('.').length, 3)
  t.match((await inject('/tokens')).json(), { accessTokens: [{ tokenType: 'DPoP' }], dpopKey: { kty: 'EC' } })

  const browser = await loggedIn(app, { tokens: await provider.issue({ sub: 'bob' }), expiresIn: 0 })
  t.match((await browser.inject('/me')).json(), { claims: { sub: 'bob' } })
  t.match(provider.requestsTo('token').map(({ status }) => status), [200])
  await t.rejects(loggedIn(await build(t), { tokens: { token_type: 'DPoP' } }), { code: 'FST_TOKEN_NO_DPOP_KEY' }, 'what the session cannot be made of is thrown as it is')
})

t.test('with several providers, each session is that of the one which is named, and one browser can have both', async (t) => {
  const app = await build(t)
  await app.register(tokenManagement, { ...options, clientId: 'other', name: 'other' })
  app.get('/other', async (request) => ({ claims: await request.tokens.claims({ provider: 'other' }), idToken: (await request.tokens.get({ provider: 'other' }))?.idToken }))
  const first = await loggedIn(app, { claims: { sub: 'alice' } })
  t.strictSame((await first.inject('/other')).json(), { claims: null })
  const both = await loggedIn(app, { provider: 'other', claims: { sub: 'bob' }, browser: first })
  t.equal(both, first)
  t.match((await both.inject('/me')).json(), { claims: { sub: 'alice' } })
  const { claims, idToken } = (await both.inject('/other')).json()
  t.equal(claims.sub, 'bob')
  t.match(JSON.parse(Buffer.from(idToken.split('.')[1], 'base64url').toString()), { iss: issuer, aud: 'other', sub: 'bob' })
  await t.rejects(loggedIn(app, { provider: 'third' }), { code: 'FST_TOKEN_UNKNOWN_PROVIDER', message: /default, other/ })
})

t.test('scope, lifetime and claims are those asked for, by the clock of the app, and a claim that the app would not keep is told', async (t) => {
  const now = 2_000_000_000
  const app = await build(t, { clock: () => now, session: { key: sessionKey, claims: ['roles'] } })
  const { inject } = await loggedIn(app, { claims: { sub: 'alice', roles: ['admin'], nonce: 'n' }, scope: 'orders', expiresIn: 120, tokens: { access_token: 'an-access-token' } })
  t.match((await inject('/tokens')).json(), {
    startedAt: now, accessTokens: [{ accessToken: 'an-access-token', scope: 'orders', expiresAt: now + 120 }], identity: { iss: issuer, sub: 'alice', aud: 'web' }, claims: { roles: ['admin'], iat: now }
  })
  t.match((await (await loggedIn(app)).inject('/tokens')).json(), { accessTokens: [{ expiresAt: now + 3600 }] })
  t.match((await (await loggedIn(app, { tokens: { access_token: 'alone' } })).inject('/tokens')).json(), { accessTokens: [{ accessToken: 'alone' }], idToken: undefined, claims: undefined }, 'of the answer nothing is made up')
  t.match((await (await loggedIn(app, { expiresIn: 0 })).inject('/me')).json(), { code: 'FST_TOKEN_LOGIN_REQUIRED' })
  await t.rejects(loggedIn(app, { claims: { sub: 'alice', name: 'Alice', email: 'a@example.com' } }), /these claims.*: name, email\. Name them in its option session\.claims/)
})

t.test('tokens of somebody else than the claims are refused: the first refresh would end such a session', async (t) => {
  const provider = await testProvider()
  t.teardown(() => provider.close())
  const app = await build(t, { issuer: provider.issuer, clock: provider.clock })
  await t.rejects(loggedIn(app, { claims: { sub: 'bob' }, tokens: await provider.issue() }), /tokens are of alice, and claims\.sub is bob.*provider\.issue\(\{ sub \}\)/)
  const { inject } = await loggedIn(app, { claims: { sub: 'bob', name: 'Bob' }, tokens: await provider.issue({ sub: 'bob' }) })
  provider.advance(301)
  t.match((await inject('/me')).json(), { claims: { sub: 'bob', name: 'Bob' } })
})

t.test('the cookies are a browser\'s: they change with a refresh, go with a logout, and come by https where they are Secure', async (t) => {
  const provider = await testProvider()
  t.teardown(() => provider.close())
  const app = await build(t, {
    issuer: provider.issuer,
    clock: provider.clock,
    login,
    fastify: { trustProxy: true },
    before: (app) => app.addHook('onRequest', async ({ protocol }, reply) => { if (protocol !== 'https') await reply.redirect('https://app.example.com') })
  })
  const browser = await loggedIn(app, { tokens: await provider.issue() })
  const { cookie, inject } = browser
  t.match(cookie, /^__Host-tokens=[^;]+$/)
  provider.advance(301)
  t.equal((await inject('/me')).statusCode, 200)
  t.match(browser.cookie, /^__Host-tokens=[^;]+$/)
  t.not(browser.cookie, cookie)
  await inject({ method: 'POST', url: '/auth/logout', headers: { 'sec-fetch-site': 'same-origin' } })
  t.notMatch(browser.cookie, /__Host-tokens=/)
  t.equal((await app.inject('/me')).statusCode, 302, 'what has no Secure cookie comes by http')
})

t.test('the token is what the login of the app would have asked for: its scope, and the first of its resources', async (t) => {
  const [orders, stock] = ['https://orders.example.com', 'https://stock.example.com']
  const app = await build(t, { login: { ...login, resource: [orders, stock] } })
  app.get('/orders', async (request) => ({ token: await request.accessToken({ resource: orders }) }))
  const { inject } = await loggedIn(app, { tokens: { access_token: 'for-orders' } })
  t.match((await inject('/tokens')).json(), { accessTokens: [{ scope: 'openid offline_access', resource: orders }] })
  t.strictSame((await inject('/orders')).json(), { token: 'for-orders' })
  const other = await loggedIn(app, { resource: stock })
  t.match((await other.inject('/orders')).json(), { code: 'FST_TOKEN_LOGIN_REQUIRED' }, 'and for no other one')
  await t.rejects(loggedIn(app, { resource: 'stock' }), { code: 'FST_TOKEN_INVALID_PARAMETERS' })
})

t.test('guards that the app adds keep nobody out, and a hook before the plugin says so', async (t) => {
  const app = await build(t)
  app.addHook('onRequest', app.requireAccessToken)
  app.addHook('onRequest', app.requireCsrfHeader)
  app.addHook('onRequest', async (request, reply) => {
    if (await request.tokens.claims() === null) return await reply.code(403).send()
  })
  const { inject } = await loggedIn(app)
  t.match((await inject('/me')).json(), { code: 'FST_TOKEN_CSRF_HEADER' }, 'as in production')
  t.equal((await inject({ url: '/me', headers: { 'X-CSRF': '1', 'Sec-Fetch-Site': 'same-origin', Cookie: 'theme=dark' } })).statusCode, 200)

  const closed = await build(t, { before: (app) => app.addHook('onRequest', async (_request, reply) => await reply.code(401).send('who are you?')) })
  await t.rejects(loggedIn(closed), /a hook that the app adds before fastify-token-management has answered with 401: who are you\?/)
})

t.test('an app on HTTP/2 is tested as others are', async (t) => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(tokenManagement, options)
  app.get('/me', async (request) => await request.tokens.claims())
  const { inject } = await loggedIn(app)
  t.match((await inject('/me')).json(), { sub: 'alice' })
})

t.test('a registration in a context further in has its sessions in the store of that context, past the guards around it', async (t) => {
  const [outer, inner] = [new MapStore(), new MapStore()]
  const app = await build(t, { before: (app) => { app.decorate('tokenStore', outer) } })
  app.addHook('onRequest', app.requireAccessToken)
  app.addHook('onRequest', async (request, reply) => {
    if (await request.tokens.claims() === null) return await reply.code(403).send()
  })
  await app.register(async (app) => {
    app.decorate('tokenStore', inner)
    await app.register(tokenManagement, { ...options, name: 'inner' })
  }, { prefix: '/inner' })
  await loggedIn(app, { provider: 'inner' })
  t.strictSame([outer.sessions.size, inner.sessions.size], [0, 1])
  await loggedIn(app)
  t.strictSame([outer.sessions.size, inner.sessions.size], [1, 1])
})

t.test('in a context with a prefix the plugin lets tests in there, by whatever instance they hold', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const [prefix, name] of [['/a', 'a'], ['/b/', 'b']] as const) {
    await app.register(async (app) => {
      await app.register(tokenManagement, { ...options, name })
      addRoutes(app)
    }, { prefix })
  }
  const { inject } = await loggedIn(app, { provider: 'b' })
  t.equal((await inject('/b/me')).statusCode, 200)
  t.equal((await inject('/a/me')).statusCode, 401)
})
