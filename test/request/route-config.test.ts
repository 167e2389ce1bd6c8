import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { tokenManagement } from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { startApp, type TestAppOptions } from '../support/start-app.ts'

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
  ['a required that is no boolean', { required: 'yes' }, 'config.tokens.required must be boolean']
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

test('required: true where no hook of the app sees to it fails the boot', async (t) => {
  t.match(await bootProblem(t, (app) => { route(app, { required: true }) }, { refresh: 'manual' }), {
    code: 'FST_TOKEN_INVALID_OPTIONS', message: "the route GET /orders: config.tokens.required is seen to by the app's hook, which refresh: 'manual' leaves out. Put onRequest: app.requireAccessToken on the route"
  })
})

test('F26 a route that was registered before the plugin is judged at its first request', async (t) => {
  const { origin } = await start(t, {
    before: (app) => {
      route(app, { provdier: 'b' })
      app.get('/guarded', { config: { tokens: { provider: 'nobody', required: true } } }, () => ({}))
      app.get('/fine', { config: { tokens: { scope: 'a' } } }, () => ({}))
    }
  })
  const browser = new Browser(origin)
  const misspelt = await browser.get('/orders')
  t.equal(misspelt.status, 500)
  t.match(misspelt.json, { code: 'FST_TOKEN_INVALID_OPTIONS', message: 'config.tokens.provdier: there is no such member' })
  t.match((await browser.get('/guarded')).json, { code: 'FST_TOKEN_UNKNOWN_PROVIDER' })
  for (let times = 0; times < 2; times++) t.equal((await browser.get('/fine')).status, 200)
})
