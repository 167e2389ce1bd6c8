import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { test, type Test } from 'tap'
import { tokenManagement } from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { sessionKey, startApp, type TestAppOptions } from '../support/start-app.ts'

const options = {
  metadata: { issuer: 'https://idp.example.com', token_endpoint: 'https://idp.example.com/token' },
  clientId: 'web',
  clientSecret: 'a secret',
  session: { key: Buffer.alloc(32, 'k') }
}

/** Registers as an app written in JavaScript may: with anything as config. */
const route = (app: FastifyInstance, tokens: unknown, more: object = {}) => { Reflect.apply(app.get, app, ['/orders', { config: { tokens }, ...more }, () => ({})]) }

/** The error that the app does not get ready with; `null` where it does. */
async function bootProblem (t: Test, build: (app: FastifyInstance) => unknown, more: object = {}): Promise<unknown> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  return await (async () => {
    await app.register(tokenManagement, { ...options, ...more })
    await build(app)
    await app.ready()
  })().then(() => null, (error: unknown) => error)
}

for (const [title, tokens, says] of [
  ['a misspelt member', { provdier: 'b' }, 'config.tokens.provdier: there is no such member. There are provider, resource, scope, required'],
  ['a member of accessToken() that hooks do not know', { optional: true }, 'config.tokens.optional: there is no such member'],
  ['a provider that nobody has registered', { provider: 'nobody' }, 'config.tokens.provider: no registration has the name nobody. Registered: default, b'],
  ['true', true, 'config.tokens must be false, or an object'],
  ['null', null, 'config.tokens must be false, or an object'],
  ['a name', 'b', 'config.tokens must be false, or an object'],
  ['a resource that is none', { resource: '/orders' }, 'config.tokens: These parameters cannot be used: resource must be an absolute URI without a fragment'],
  ['a list of scopes', { scope: ['a', 'b'] }, 'config.tokens: These parameters cannot be used: scope must be scope tokens with spaces between them'],
  ['a required that is nothing of that', { required: 'yes' }, 'config.tokens.required must be true, false or \'login\''],
  ['a login where there is none', { required: 'login' }, 'config.tokens.required is \'login\', and the registration default has no option login. Give it one, or say required: true'],
  ['a login of another provider that has none', { provider: 'b', required: 'login' }, 'config.tokens.required is \'login\', and the registration b has no option login']
] as const) {
  test(`F26 a route with ${title} in config.tokens fails the boot, naming the route and the remedy`, async (t) => {
    const second = { ...options, name: 'b' }
    for (const build of [
      async (app: FastifyInstance) => { route(app, tokens); await app.register(tokenManagement, second) },
      async (app: FastifyInstance) => { await app.register(tokenManagement, second); await app.register(async (child) => { route(child, tokens) }) }
    ]) {
      const error = await bootProblem(t, build)
      t.match(error, { code: 'FST_TOKEN_INVALID_OPTIONS', message: `the route GET /orders: ${says}` })
    }
  })
}

test('F26 what routes may say of tokens boots, also of a provider that is registered later', async (t) => {
  for (const tokens of [undefined, false, {}, { provider: 'b', required: true }, { resource: 'https://api.example.com', scope: 'a b', required: false }]) {
    t.equal(await bootProblem(t, async (app) => {
      route(app, tokens)
      await app.register(tokenManagement, { ...options, name: 'b' })
    }), null, JSON.stringify(tokens))
  }
})

test('F26 a tokenStore without one of its functions fails the boot, also that of an encapsulated context', async (t) => {
  const whole = { get: () => null, set () {}, clear () {} }
  for (const [store, missing] of [[{ ...whole, set: undefined }, 'set'], [{ get: () => null }, 'set, clear'], [{ ...whole, get: 'x' }, 'get'], [null, 'get, set, clear']] as const) {
    const says = { code: 'FST_TOKEN_INVALID_OPTIONS', message: `app.tokenStore has no function ${missing}: a token store has get, set and clear` }
    const decorate = (app: FastifyInstance) => { Reflect.apply(app.decorate, app, ['tokenStore', store]) }
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    decorate(app)
    await t.rejects(async () => { await app.register(tokenManagement, options) }, says)
    t.match(await bootProblem(t, (app) => app.register(async (child) => {
      decorate(child)
      route(child, undefined)
    })), says)
  }
})

async function start (t: Test, options: TestAppOptions) {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  return { ...await startApp(t, server, options), server }
}

for (const refresh of ['onRequest', 'preHandler'] as const) {
  test(`required: true in config.tokens guards the route by the hook of the app, with refresh: ${refresh}`, async (t) => {
    const { origin, login, clock, server } = await start(t, {
      refresh,
      routes: (app) => {
        app.get('/guarded', { config: { tokens: { required: true } } }, () => ({ guarded: true }))
        app.get('/open', { config: { tokens: { required: false } } }, () => ({}))
      }
    })
    const stranger = new Browser(origin)
    const refused = await stranger.get('/guarded')
    t.equal(refused.status, 401)
    t.match(refused.json, { code: 'FST_TOKEN_UNAUTHENTICATED' })
    t.equal((await stranger.get('/open')).status, 200)
    const browser = await login()
    clock.now += 61
    t.strictSame((await browser.get('/guarded')).json, { guarded: true })
    t.equal(server.refreshes, 1)
  })
}

/** Where a guarded route may be, and when it is registered. */
type Place = (app: FastifyInstance, plugin: () => unknown, guarded: (server: FastifyInstance) => void) => unknown
const places: Record<string, Place> = {
  'after the plugin': async (app, plugin, guarded) => { await plugin(); guarded(app) },
  'after the plugin that nobody waited for': (app, plugin, guarded) => { plugin(); guarded(app) },
  'before the plugin': async (app, plugin, guarded) => { guarded(app); await plugin() },
  'in a context after the plugin': async (app, plugin, guarded) => { await plugin(); await app.register(async (child) => { guarded(child) }) },
  'in a context after the plugin that nobody waited for': (app, plugin, guarded) => { plugin(); app.register(async (child) => { guarded(child) }) },
  'in a context before the plugin': async (app, plugin, guarded) => { await app.register(async (child) => { guarded(child) }); await plugin() },
  'in a context of a context before the plugin': async (app, plugin, guarded) => {
    await app.register(async (child) => { await child.register(async (grandchild) => { guarded(grandchild) }) })
    await plugin()
  },
  'in a plugin of the app, before': async (app, plugin, guarded) => { await app.register(fp(async (same) => { guarded(same) })); await plugin() }
}

for (const refresh of ['onRequest', 'preHandler', 'manual'] as const) {
  for (const [where, place] of Object.entries(places)) {
    test(`required: true guards a route ${where}, with refresh: ${refresh}`, async (t) => {
      const server = await startAuthorizationServer({ expiresIn: 60, dpop: false })
      t.teardown(() => server.close())
      let reached = 0
      const app = Fastify({ forceCloseConnections: true })
      t.teardown(() => app.close())
      const clock = { now: Date.now() / 1000 }
      const plugin = () => app.register(tokenManagement, { issuer: server.issuer, clientId: 'web', clientSecret: server.settings.clientSecret, session: { key: sessionKey }, clock: () => clock.now, refresh })
      await place(app, plugin, (context) => {
        context.get('/guarded', { config: { tokens: { required: true } } }, async (request) => { reached++; return { token: await request.accessToken() } })
      })
      app.post('/save', async (request) => { await request.tokens.save({ access_token: 'x', token_type: 'Bearer', ...request.body as object }); return {} })
      const browser = new Browser(await app.listen({ port: 0, host: '127.0.0.1' }))
      for (const method of ['GET', 'HEAD'] as const) t.equal((await browser.send(method, '/guarded', {})).status, 401, method)
      t.match((await browser.get('/guarded')).json, { code: 'FST_TOKEN_UNAUTHENTICATED' })
      t.equal(reached, 0)
      await browser.send('POST', '/save', { 'content-type': 'application/json' }, JSON.stringify(await server.issue({})))
      clock.now += 61
      const { status, json } = await browser.get('/guarded')
      t.equal(status, 200)
      t.equal(server.isAlive(String(json.token)), true)
      t.equal(server.refreshes, 1)
      server.fault(faults.empty(503), Infinity)
      clock.now += 61
      t.equal((await browser.get('/guarded')).status, 503)
      t.equal(reached, 1)
    })
  }
}

/** Where the hooks of a plugin that is registered in a context do not run; `late` is registered when that one is loaded. */
const unreached: Record<string, { build: (app: FastifyInstance, plugin: (context: FastifyInstance) => Promise<void>, guarded: (context: FastifyInstance) => void) => unknown, boots: boolean }> = {
  'beside the plugin, before': { build: async (app, plugin, guarded) => { await app.register(async (a) => { guarded(a) }); await app.register(plugin) }, boots: true },
  'beside the plugin, after': { build: async (app, plugin, guarded) => { await app.register(plugin); await app.register(async (a) => { guarded(a) }) }, boots: false },
  'above the plugin, before': { build: async (app, plugin, guarded) => { guarded(app); await app.register(plugin) }, boots: true },
  'above the plugin, after': { build: async (app, plugin, guarded) => { await app.register(plugin); guarded(app) }, boots: false },
  'beside the context around the plugin': { build: async (app, plugin, guarded) => { await app.register(async (a) => { await a.register(plugin) }); await app.register(async (b) => { await b.register(async (c) => { guarded(c) }) }) }, boots: false },
  'beside the plugin, in a context around both': { build: async (app, plugin, guarded) => { await app.register(async (a) => { await a.register(plugin); await a.register(async (b) => { guarded(b) }) }) }, boots: false }
}

for (const [where, { build, boots }] of Object.entries(unreached)) {
  test(`required: true ${where} would be seen to by nobody: it ${boots ? 'fails each request' : 'fails the boot'}`, async (t) => {
    for (const tokens of [{ required: true }, { requierd: true }, { required: 'login' }]) {
      let reached = 0
      const app = Fastify()
      t.teardown(() => app.close())
      await build(app, async (context) => {
        await context.register(tokenManagement, options)
        context.get('/inside', { config: { tokens: { required: true } } }, () => ({}))
      }, (context) => {
        Reflect.apply(context.get, context, ['/guarded', { config: { tokens } }, () => { reached++; return {} }])
        context.get('/open', () => ({}))
        context.get('/left-alone', { config: { tokens: false } }, () => ({}))
      })
      const says = { code: 'FST_TOKEN_INVALID_OPTIONS', message: /the route \/guarded: config\.tokens is seen to in the context that .* is registered in, and the route is outside of that/ }
      if (!boots) {
        await t.rejects(async () => { await app.ready() }, says)
        continue
      }
      const refused = await app.inject('/guarded')
      t.equal(refused.statusCode, 500)
      t.match(refused.json(), says)
      t.equal(reached, 0)
      t.equal((await app.inject('/inside')).statusCode, 401)
      for (const path of ['/open', '/left-alone']) t.equal((await app.inject(path)).statusCode, 200, path)
      t.equal((await app.inject('/nowhere')).statusCode, 404)
    }
  })
}

test('plugins in two contexts beside each other each guard their own', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const name of ['a', 'b']) {
    await app.register(async (context) => {
      context.get('/before', { config: { tokens: { required: true } } }, () => ({}))
      await context.register(tokenManagement, { ...options, name })
      context.get('/after', { config: { tokens: { required: true } } }, () => ({}))
    }, { prefix: `/${name}` })
  }
  for (const path of ['/a/before', '/a/after', '/b/before', '/b/after']) t.match((await app.inject(path)).json(), { statusCode: 401, code: 'FST_TOKEN_UNAUTHENTICATED' }, path)
})

test('F26 a route that was registered before the plugin is judged at its first request', async (t) => {
  const { origin } = await start(t, {
    before: (app) => {
      route(app, { provdier: 'b' })
      app.get('/guarded', { config: { tokens: { provider: 'nobody', required: true } } }, () => ({}))
      app.get('/login', { config: { tokens: { required: 'login' } } }, () => ({}))
      app.get('/fine', { config: { tokens: { scope: 'a' } } }, () => ({}))
    }
  })
  const browser = new Browser(origin)
  const misspelt = await browser.get('/orders')
  t.equal(misspelt.status, 500)
  t.match(misspelt.json, { code: 'FST_TOKEN_INVALID_OPTIONS', message: 'config.tokens.provdier: there is no such member' })
  t.match((await browser.get('/guarded')).json, { statusCode: 500, code: 'FST_TOKEN_UNKNOWN_PROVIDER' })
  t.match((await browser.get('/login')).json, { statusCode: 500, code: 'FST_TOKEN_INVALID_OPTIONS', message: /has no option login/ })
  for (let times = 0; times < 2; times++) t.equal((await browser.get('/fine')).status, 200)
})
