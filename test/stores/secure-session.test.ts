import cookie from '@fastify/cookie'
import secureSession from '@fastify/secure-session'
import session from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { cookieOf } from '../support/scenario.ts'
import { sessionKey, startApp, type TestAppOptions } from '../support/start-app.ts'

const key = Buffer.alloc(32, 's')
const tokens = false

async function start (t: Test, names: string[], { routes, ...options }: TestAppOptions = {}) {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  const ended: string[] = []
  const started = await startApp(t, server, {
    session: { key: sessionKey },
    onSessionEnded: ({ reason }) => { ended.push(reason) },
    before: (app) => app.register(secureSession, names.map((sessionName) => ({ key, cookie: { path: '/' }, sessionName, cookieName: `${sessionName}-cookie` }))),
    routes: async (app) => {
      for (const name of names) {
        app.post(`/${name}`, { config: { tokens } }, (request) => { sessionNamed(request, name).set('cart', 'book'); return {} })
        app.post(`/${name}/delete`, { config: { tokens } }, (request) => { sessionNamed(request, name).delete(); return {} })
      }
      await routes?.(app)
    },
    ...options
  })
  return { ...started, server, ended }
}

interface AppSession {
  set (key: string, value: unknown): void
  delete (): void
}

function sessionNamed (request: FastifyRequest, name: string): AppSession {
  return request.getDecorator(name)
}

test('where the app deletes its own session the tokens end in the same response, also on a route that asks for none', async (t) => {
  const { login, ended, clock } = await start(t, ['session'])
  const browser = await login()
  await browser.post('/session')
  t.equal((await browser.get('/token')).status, 200)
  const copy = browser.clone()
  clock.now += 61
  const answer = await browser.post('/session/delete')
  t.equal(answer.status, 200)
  t.equal(cookieOf(answer), 'cleared')
  t.match(answer.setCookies, [/session-cookie=;/, /__Host-tokens=;/])
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.equal((await browser.get('/token')).status, 401)
  t.equal((await copy.get('/token')).status, 401, 'no late request brings them back')
  t.strictSame(ended, ['logout'])
  t.strictSame((await browser.post('/session/delete')).setCookies.length, 1, 'where nobody is logged in there is nothing to clear')
})

test('after the deletion the same request has no tokens any more, and a login after it counts', async (t) => {
  const { login, server } = await start(t, ['session'], { routes })
  const browser = await login()
  t.strictSame((await browser.post('/ask')).json, { after: null })
  t.equal((await browser.get('/token')).status, 401)

  const again = await login()
  const { access_token: token } = await server.issue()
  const answer = await again.post('/again', { token })
  t.equal(cookieOf(answer), 'set')
  t.equal((await again.get('/token')).json.token, token)

  function routes (app: FastifyInstance) {
    app.post('/ask', async (request) => {
      await request.accessToken()
      sessionNamed(request, 'session').delete()
      return { after: await request.accessToken({ optional: true }) }
    })
    app.post('/again', async (request) => {
      sessionNamed(request, 'session').delete()
      await request.tokens.save({ access_token: String(request.headers.token), token_type: 'bearer' })
      return {}
    })
  }
})

test('a login and then the deletion in one request is a logout', async (t) => {
  const { login } = await start(t, ['session'], {
    routes: (app) => app.post('/in-and-out', async (request) => {
      await request.tokens.save({ access_token: 'x', token_type: 'bearer' })
      sessionNamed(request, 'session').delete()
      return {}
    })
  })
  t.equal(cookieOf(await (await login()).post('/in-and-out')), 'cleared')
})

test('of several sessions it is the one that session.endsWith names', async (t) => {
  const names = ['session', 'wizard', 'account']
  const { login } = await start(t, names, { session: { key: sessionKey, endsWith: 'account' } })
  const browser = await login()
  for (const name of names) await browser.post(`/${name}`)
  for (const name of ['session', 'wizard']) t.equal(cookieOf(await browser.post(`/${name}/delete`)), 'unchanged')
  t.equal((await browser.get('/token')).status, 200)
  t.equal(cookieOf(await browser.post('/account/delete')), 'cleared')
  t.equal((await browser.get('/token')).status, 401)
})

const late = /is registered after fastify-token-management/
const register = {
  secureSession: async (app: FastifyInstance) => { await app.register(secureSession, { key, cookie: { path: '/' } }) },
  session: async (app: FastifyInstance) => {
    await app.register(cookie)
    await app.register(session, { secret: 'a secret of the session, long enough' })
  }
}

for (const [title, options, expected] of [
  ['@fastify/secure-session after the plugin', { routes: register.secureSession }, /^@fastify\/secure-session .* so that the tokens do not end with its session\. Register it before$/],
  ['@fastify/session after the plugin', { routes: register.session }, /^@fastify\/session .* so that the tokens are in a cookie and not in its store\. Register it before, or say where they are with the option tokenStore$/],
  ['@fastify/session after the plugin, where the app has a store of its own', { before: (app: FastifyInstance) => app.decorate('tokenStore', { get: () => null, set () {}, clear () {} }), routes: register.session }, undefined],
  ['one of them after the plugin, in a context of its own', { routes: (app: FastifyInstance) => app.register(register.secureSession) }, undefined],
  ['@fastify/session before the plugin', { before: register.session }, undefined],
  ['@fastify/secure-session before the plugin', { before: register.secureSession }, undefined]
] as const) {
  test(`${title}: ${expected === undefined ? 'no warning' : 'a warning as the app gets ready'}`, async (t) => {
    const server = await startAuthorizationServer({ expiresIn: 60 })
    t.teardown(() => server.close())
    const { log } = await startApp(t, server, options)
    const warnings = log.map((line) => JSON.parse(line)).filter(({ msg }) => late.test(msg))
    t.strictSame(warnings.map(({ level }) => level), expected === undefined ? [] : [40])
    if (expected !== undefined) t.match(warnings[0].msg, expected)
  })
}
