/* One session.key is one trust domain, but nothing in it opens where it does not belong. */
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import tokenManagement, { type TokenManagementOptions } from '../../lib/index.ts'
import { readKeys } from '../../lib/options/session-check.ts'
import { createSeal, type Seal, type SealPurpose } from '../../lib/stores/seal.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { JsonSessionStore } from '../support/json-session-store.ts'
import { sessionKey, startApp, type TestAppOptions } from '../support/start-app.ts'

const keys = readKeys(sessionKey)
const issuers = ['https://one.example.com', 'https://two.example.com']
const clientIds = ['web', 'admin']
const names = ['__Host-tokens', '__Host-github-tokens']
const purposes: SealPurpose[] = ['session', 'record', 'login', 'logout']

test('F47 F48 of two issuers, clients, registrations or purposes with one key, nothing that one has sealed opens at another: all pairs', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const seals: Array<{ seal: Seal, of: string, sealed: string }> = []
  for (const issuer of issuers) {
    for (const clientId of clientIds) {
      for (const name of names) {
        for (const purpose of purposes) {
          const seal = await createSeal(app, { issuer, clientId, session: { keys } }, purpose, name)
          seals.push({ seal, of: [issuer, clientId, name, purpose].join(' '), sealed: seal.seal({ purpose }) })
        }
      }
    }
  }
  t.equal(seals.length, 32)
  const opened = seals.flatMap(({ seal, of }) => seals.flatMap(({ sealed, of: by }) => seal.open(sealed, app.log) === undefined ? [] : [`${of} opens ${by}`]))
  t.strictSame(opened, seals.map(({ of }) => `${of} opens ${of}`))
  t.equal(new Set(seals.map(({ seal }) => seal.keyIds[0])).size, 32, 'and the id of the key in clear tells nobody that there is one key')
  const sameAgain = await createSeal(Fastify(), { issuer: issuers[0] ?? '', clientId: 'web', session: { keys } }, 'session', '__Host-tokens')
  t.ok(sameAgain.open(seals[0]?.sealed ?? '', app.log), 'another process opens it')
})

/** Apps that differ in what a session belongs to, with one key; each with a session, and a route that says whose. */
async function startApps (t: Test, options: TestAppOptions = {}) {
  const servers = await Promise.all([{}, {}].map(async () => await startAuthorizationServer({ clientId: 'web' })))
  const apps = []
  for (const server of servers) {
    t.teardown(() => server.close())
    for (const clientId of clientIds) {
      for (const name of ['default', 'github']) apps.push({ of: `${server.issuer} ${clientId} ${name}`, cookieName: name === 'default' ? '__Host-tokens' : '__Host-github-tokens', ...await startApp(t, server, { clientId, name, ...options }) })
    }
  }
  return apps
}

test('F47 a session cookie of one issuer, client or registration is nobody\'s at another with the same key, under whatever name it comes: all pairs', async (t) => {
  const apps = await startApps(t)
  const outcomes = []
  for (const from of apps) {
    const value = (await from.save({ access_token: 'a-secret-of-its-own', token_type: 'bearer', refresh_token: 'r' })).cookies.get(from.cookieName) ?? ''
    for (const to of apps) {
      const answer = await new Browser(to.origin, [[to.cookieName, value]]).get('/optional')
      t.equal(answer.status, 200)
      t.strictSame(answer.setCookies, [])
      if (answer.json.token !== null) outcomes.push([from.of, to.of])
    }
  }
  t.strictSame(outcomes, apps.map(({ of }) => [of, of]))
})

for (const key of [undefined, sessionKey]) {
  test(`F47 a record ${key ? 'that is sealed' : 'in clear'} is nobody's at another issuer, client or registration with the same store, nor under another id: all pairs`, async (t) => {
    const store = new JsonSessionStore()
    const apps = await startApps(t, {
      session: { ...key && { key } },
      before: async (app) => {
        await app.register(cookie)
        await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
      }
    })
    const sessions = []
    for (const app of apps) {
      const known = new Set(store.records.keys())
      const browser = await app.save({ access_token: 'a-secret-of-its-own', token_type: 'bearer', refresh_token: 'r' })
      const [id = '', record = ''] = [...store.records].find(([id, record]) => !known.has(id) && record.includes('"content"')) ?? []
      sessions.push({ ...app, browser, id, record })
    }
    const outcomes = []
    for (const from of sessions) {
      for (const to of sessions) {
        // The thief of a session, who can write to the store, puts the record where his own one is; or lets his session refer to it.
        store.records.set(to.id, from.record)
        const copied = (await to.browser.get('/optional')).json.token
        store.records.set(to.id, to.record)
        if (copied !== null) outcomes.push([from.of, to.of])
      }
    }
    t.strictSame(outcomes, sessions.map(({ of }) => [of, of]))

    const [one] = sessions
    const other = await one?.save({ access_token: 'another-session', token_type: 'bearer' })
    t.equal((await other?.get('/optional'))?.json.token, 'another-session')
    for (const [id, record] of store.records) if (id !== one?.id && record.includes('"content"')) store.records.set(id, one?.record ?? '')
    t.equal((await other?.get('/optional'))?.json.token, null, 'of the same registration, under another id')
  })
}

test('F47 a session that refers to the record of another registration gets nothing of it', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const store = new JsonSessionStore()
  const before = async (app: FastifyInstance) => {
    await app.register(cookie)
    await app.register(session, { secret: 'a secret of the session, long enough', store, cookie: { secure: false } })
  }
  const one = await startApp(t, server, { session: {}, before })
  const other = await startApp(t, server, { session: {}, clientId: 'admin', before })
  const browser = await one.save({ access_token: 'a-secret', token_type: 'bearer' })
  t.equal((await browser.get('/optional')).json.token, 'a-secret')
  t.equal((await new Browser(other.origin, browser.cookies).get('/optional')).json.token, null)
})

/** Registers the plugin in contexts of one app, side by side. */
async function registerAll (t: Test, registrations: Array<Partial<TokenManagementOptions>>, before: (app: FastifyInstance) => unknown = () => {}): Promise<void> {
  const app = Fastify()
  t.teardown(() => app.close())
  await before(app)
  for (const [index, options] of registrations.entries()) {
    const issuer = issuers[index] ?? ''
    await app.register(async (context) => {
      await context.register(tokenManagement, { metadata: { issuer, token_endpoint: `${issuer}/token` }, clientId: 'web', clientSecret: 'secret', session: { key: sessionKey }, ...options })
    })
  }
  await app.ready()
}

test('F25 two registrations in one app whose session cookies would meet in a browser are refused at boot', async (t) => {
  const session = (options: object) => ({ session: { key: sessionKey, ...options } })
  const refused = { code: 'FST_TOKEN_INVALID_OPTIONS', message: /session\.cookieName: another registration of this app has the session cookie .* Give this one a name/ }
  await t.rejects(registerAll(t, [{}, {}]), refused, 'two contexts, both named default')
  await t.rejects(registerAll(t, [{ name: 'a', ...session({ cookieName: 'sid' }) }, { name: 'b', ...session({ cookieName: 'sid' }) }]), refused, 'one cookieName')
  await t.rejects(registerAll(t, [{}], async (app) => {
    await app.register(tokenManagement, { name: 'b', metadata: { issuer: issuers[1] ?? '', token_endpoint: `${issuers[1]}/token` }, clientId: 'web', clientSecret: 'secret', ...session({ cookieName: '__Host-tokens' }) })
  }), refused, 'one around the other')
  await t.rejects(registerAll(t, [{}, { name: 'b', ...session({ cookieName: '__Host-tokens' }) }]), refused, 'one default, one by hand')

  await registerAll(t, [{}, { name: 'b' }])
  await registerAll(t, [{}, session({ cookieName: '__Host-other' })])
  await registerAll(t, [session({ cookieName: 'sid', cookie: { path: '/a' } }), session({ cookieName: 'sid', cookie: { path: '/b' } })])
  await registerAll(t, [{}])
  t.pass('where they do not meet, and in another app, nothing is refused')
})

test('F25 two registrations of one name in one @fastify/session are refused at boot', async (t) => {
  const withSession = async (app: FastifyInstance) => {
    await app.register(cookie)
    await app.register(session, { secret: 'a secret of the session, long enough' })
  }
  await t.rejects(registerAll(t, [{}, {}], withSession), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /name: there is a registration default already whose sessions are in the same @fastify\/session/ })
  await registerAll(t, [{}, { name: 'b' }], withSession)
  t.pass('of two names they are not')
})
