import { once } from 'node:events'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import tokenManagement, { type SessionEndedEvent, type TokenManagementOptions } from '../../lib/index.ts'
import { redisRefreshCoordinator, redisTokenStore, type SharedCoordinator } from '../../lib/redis.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { bySecret, forgeries } from '../support/authorization-server/forgeries.ts'
import { logoutEvent, logoutToken, type LogoutTokenOptions } from '../support/authorization-server/logout-token.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { type Answer, Browser } from '../support/browser.ts'
import { disguises, dumpOf } from '../support/disguises.ts'
import { freePort } from '../support/free-port.ts'
import { callbackUri, logIn, startLogin } from '../support/login-flow.ts'
import { type RealProvider, startRealProvider } from '../support/real-provider.ts'
import { connect, startRedis, type TestRedis, whyNotRedis } from '../support/redis-server.ts'
import { sessionKey, startApp, type TestApp } from '../support/start-app.ts'

const path = '/auth/backchannel-logout'
const login = { callbackUri, scope: ['openid', 'offline_access'] }

interface Here {
  readonly server: AuthorizationServer
  readonly redis: TestRedis
  /** Two apps of one kind, as if they were two processes. */
  readonly apps: readonly [TestApp, TestApp]
  /** What any of them was told of sessions that have ended. */
  readonly ended: SessionEndedEvent[]
  /** A browser that somebody has logged in with, and the session at the provider. */
  logIn (user?: string): Promise<{ browser: Browser, sid: string }>
  /** What an app says to a logout token. */
  post (token: string, place?: 0 | 1): Promise<Answer>
  logOut (claims: LogoutTokenOptions['claims'], place?: 0 | 1): Promise<number>
  /** Settles when every app has heard that a browser has no session any more. */
  over (browser: Browser): Promise<void>
}

type Kept = 'in cookies' | 'on Redis'

interface StartOptions extends Partial<TokenManagementOptions> {
  readonly settings?: Partial<Settings>
  readonly kept?: Kept
}

async function start (t: Test, { settings, kept = 'in cookies', ...options }: StartOptions = {}): Promise<Here> {
  const server = await startAuthorizationServer({ metadata: { id_token_signing_alg_values_supported: ['ES256', 'HS256', 'none'] }, ...settings })
  t.teardown(() => server.close())
  const redis = await startRedis(t)
  const ended: SessionEndedEvent[] = []
  const one = async (): Promise<TestApp> => {
    const client = connect(t, redis)
    await once(client, 'ready')
    return await startApp(t, server, {
      coordinator: redisRefreshCoordinator({ redis: client, timeout: 2 }),
      ...kept === 'on Redis' && { tokenStore: redisTokenStore({ redis: client, timeout: 2 }) },
      login,
      logout: { backchannelLogoutPath: path },
      onSessionEnded: (event) => ended.push(event),
      ...options
    })
  }
  const apps = [await one(), await one()] as const
  const post = async (token: string, place: 0 | 1 = 1) => await postForm(apps[place], new URLSearchParams({ logout_token: token }).toString())
  return {
    server,
    redis,
    apps,
    ended,
    post,
    async logIn (user = 'alice') {
      server.settings.user = user
      const browser = new Browser(apps[0].origin)
      const answer = await logIn(browser)
      if (answer.status !== 303) throw new Error(`The login was answered ${answer.status}: ${answer.text}`)
      return { browser, sid: String(server.families.at(-1)?.id) }
    },
    logOut: async (claims = {}, place) => (await post(await logoutToken(server, { claims }), place)).status,
    async over (browser) {
      for (const { origin } of apps) while ((await browser.through(origin).clone().get('/token')).status !== 401);
    }
  }
}

async function postForm ({ origin }: TestApp, body: string, type = 'application/x-www-form-urlencoded'): Promise<Answer> {
  return await new Browser(origin).send('POST', path, { 'content-type': type }, body)
}

const statusesOf = async (...browsers: Browser[]) => await Promise.all(browsers.map(async (browser) => (await browser.clone().get('/token')).status))

t.test('back-channel logout', { skip: whyNotRedis(), timeout: 120_000 }, async (t) => {
  for (const kept of ['in cookies', 'on Redis'] as const) {
    t.test(`R48 R49 the provider ends a session ${kept} at one process, and the next request at another is 401`, async (t) => {
      const { logIn, server, apps, ended, post, over } = await start(t, { kept })
      const { browser, sid } = await logIn()
      const answer = await post(await logoutToken(server, { claims: { sub: 'alice', sid } }))
      t.match([answer.status, answer.text, answer.headers.get('cache-control')], [200, '', 'no-store'])
      await over(browser)
      t.equal((await browser.through(apps[1].origin).get('/optional')).json.token, null)
      t.match(ended, [{ provider: 'default', reason: 'backchannelLogout' }])
      t.equal(ended.length, 1)
      t.equal(server.isAlive(sid), kept === 'in cookies', 'who has the refresh token revokes it; what a browser holds the provider takes back, or not')
    })

    t.test(`R49 of sessions ${kept}, with sid one ends, with sub alone all of the user, and nobody else's`, async (t) => {
      const { logIn, logOut, over } = await start(t, { kept })
      const [one, two, three, bobs] = [await logIn(), await logIn(), await logIn(), await logIn('bob')]
      t.equal(await logOut({ sid: one.sid }), 200)
      await over(one.browser)
      t.strictSame(await statusesOf(two.browser, three.browser, bobs.browser), [200, 200, 200])
      t.equal(await logOut({ sub: 'bob', sid: two.sid }), 200)
      t.strictSame(await statusesOf(two.browser, three.browser, bobs.browser), [200, 200, 200], 'sub and sid must both be right')
      t.equal(await logOut({ sub: 'alice', sid: two.sid }), 200)
      await over(two.browser)
      t.strictSame(await statusesOf(three.browser, bobs.browser), [200, 200])
      const four = await logIn()
      t.equal(await logOut({ sub: 'alice' }), 200)
      await over(three.browser)
      await over(four.browser)
      t.strictSame(await statusesOf(bobs.browser), [200])
      t.equal(await logOut({ sub: 'nobody' }), 200, 'who is not there is logged out')
    })

    t.test(`where id_tokens have no sid, a logout by sub and sid ends the sessions of the user ${kept}, and one by sid alone none`, async (t) => {
      const { logIn, logOut, over } = await start(t, { kept })
      const withSid = await logIn()
      const withoutSid = await loginWithoutSid(t, kept)
      t.equal(await withoutSid.logOut({ sid: 'of the provider' }), 200)
      t.strictSame(await statusesOf(withoutSid.browser), [200])
      t.equal(await withoutSid.logOut({ sub: 'alice', sid: 'of the provider' }), 200)
      await withoutSid.over(withoutSid.browser)
      t.equal(await logOut({ sub: 'alice', sid: 'another' }), 200)
      t.strictSame(await statusesOf(withSid.browser), [200])
      t.equal(await logOut({ sub: 'alice', sid: withSid.sid }), 200)
      await over(withSid.browser)
    })

    t.test(`R49 who logs in again afterwards lives, ${kept}, also when an old logout token comes late; a refresh does not make a session newer`, async (t) => {
      const { logIn, logOut, over, server, apps, post } = await start(t, { kept })
      const then = Math.floor(server.clock())
      const old = await logIn()
      server.settings.clock = () => Date.now() / 1000 + 310
      for (const { clock } of apps) clock.now += 310
      t.equal((await old.browser.get('/token')).status, 200)
      t.equal(server.refreshes, 1)
      const late = await logoutToken(server, { claims: { sub: 'alice', iat: then + 5 } })
      const next = await logIn()
      t.equal((await post(late)).status, 200)
      await over(old.browser)
      t.strictSame(await statusesOf(next.browser), [200])
      t.equal(await logOut({ sub: 'alice' }), 200)
      await over(next.browser)
      const last = await logIn()
      t.equal((await post(late)).status, 400)
      t.strictSame(await statusesOf(last.browser), [200])
    })

    t.test(`a logout that comes while the app is told of the login ends the session ${kept}`, async (t) => {
      const { server, apps, logOut, over, ended } = await start(t, {
        kept,
        login: { ...login, onLogin: async (_request, _reply, { claims }) => { t.equal(await logOut({ sid: String(claims?.sid) }), 200) } }
      })
      const browser = new Browser(apps[0].origin)
      t.equal((await logIn(browser)).status, 303)
      await over(browser)
      t.match(ended, [{ reason: 'backchannelLogout' }])
      t.equal(server.families.length, 1)
    })

    t.test(`while Redis is gone the provider is to try again, and once it is back the same token ends the session ${kept}`, async (t) => {
      const { logIn, server, post, over, redis, apps } = await start(t, { kept })
      const { browser, sid } = await logIn()
      const token = await logoutToken(server, { claims: { sid } })
      const back = apps.map((app) => app.logged(/Redis answers again/))
      redis.freeze()
      t.equal((await post(token)).status, 503)
      redis.thaw()
      while ((await post(token)).status !== 200);
      await over(browser)
      await back[1]
    })
  }

  async function loginWithoutSid (t: Test, kept: Kept) {
    const here = await start(t, { kept })
    here.server.fault(faults.idToken({ sid: undefined }))
    return { ...here, ...await here.logIn() }
  }

  t.test('R48 a logout token that is none is 400, and ends nothing', async (t) => {
    const { logIn, server, apps, ended, post } = await start(t)
    const { browser, sid } = await logIn()
    const now = Math.floor(Date.now() / 1000)
    const bad: Record<string, LogoutTokenOptions> = {
      'of another issuer': { claims: { iss: 'https://mallory.example' } },
      'of no issuer': { claims: { iss: undefined } },
      'for another client': { claims: { aud: 'another' } },
      'for nobody': { claims: { aud: undefined } },
      'with a nonce': { claims: { nonce: 'a nonce' } },
      'without events': { claims: { events: undefined } },
      'of another event': { claims: { events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {} } } },
      'with events that are a text': { claims: { events: logoutEvent } },
      'with an event that is no object': { claims: { events: { [logoutEvent]: true } } },
      'that has expired': { claims: { iat: now - 200, exp: now - 31 } },
      'that never expires': { claims: { exp: undefined } },
      'that is from no time': { claims: { iat: undefined } },
      'from the future': { claims: { iat: now + 60, exp: now + 120 } },
      'without jti': { claims: { jti: undefined } },
      'with an empty jti': { claims: { jti: '' } },
      'with a sub that is no text': { claims: { sub: JSON.parse('5') } },
      'with an empty sid': { claims: { sid: '' } },
      'of nobody': { claims: { sub: undefined, sid: undefined } },
      'that is an access token': { typ: 'at+jwt' },
      'not signed': { forge: forgeries.unsigned },
      'signed with the public key': { forge: forgeries.byPublicKey },
      'signed with another secret': { forge: bySecret('another secret, long enough for HS256') },
      'signed by another key': { forge: forgeries.byAnotherKey }
    }
    const claims = { sub: 'alice', sid }
    const refused = async (what: string, answer: Answer) => {
      t.match([answer.status, answer.json.error, answer.headers.get('cache-control')], [400, 'invalid_request', 'no-store'], what)
      t.type(answer.json.error_description, 'string')
    }
    for (const [what, options] of Object.entries(bad)) await refused(what, await post(await logoutToken(server, { ...options, claims: { ...claims, ...options.claims } })))
    const { id_token: idToken = '' } = await server.issue()
    for (const token of [idToken, 'no.jwt', '', 'x', 'ey.ey.ey']) await refused(token.slice(0, 9), await post(token))
    await refused('signed by a key that nobody knows', await post(await logoutToken(server, { claims, forge: forgeries.byUnknownKey })))

    const good = async () => await logoutToken(server, { claims })
    const bodies: Array<[body: string, type?: string]> = [
      [''],
      ['token=5'],
      [`logout_token=${await good()}&logout_token=${await good()}`],
      [JSON.stringify({ logout_token: await good() }), 'application/json'],
      [`logout_token=${await good()}`, 'text/plain'],
      [`logout_token=${await good()}`, 'multipart/form-data; boundary=x'],
      [`logout_token=${await good()}&padding=${'x'.repeat(100_000)}`]
    ]
    for (const [body, type] of bodies) await refused(`${type} ${body.slice(0, 20)}`, await postForm(apps[1], body, type))
    t.equal((await new Browser(apps[1].origin).get(`${path}?logout_token=${await good()}`)).status, 404)
    t.strictSame([await statusesOf(browser, browser.through(apps[1].origin)), ended], [[200, 200], []])
    t.equal((await post(await good())).status, 200)
  })

  t.test('what else is good: an audience of several, no typ, the client\'s secret, a form with more in it', async (t) => {
    const { logIn, server, post, over, apps } = await start(t, { settings: { clientSecret: 'a secret, long enough for HS256 as well' } })
    const good: LogoutTokenOptions[] = [{ claims: { aud: ['another', 'web'] } }, { typ: 'JWT' }, { forge: bySecret(server.settings.clientSecret) }]
    for (const options of good) {
      const { browser, sid } = await logIn()
      t.equal((await post(await logoutToken(server, { ...options, claims: { sid, ...options.claims } }))).status, 200)
      await over(browser)
    }
    const { browser, sid } = await logIn()
    const body = new URLSearchParams({ logout_token: await logoutToken(server, { claims: { sid } }), unknown: 'ignored' }).toString()
    t.equal((await postForm(apps[0], body, 'application/x-www-form-urlencoded; charset=UTF-8')).status, 200)
    await over(browser)
  })

  t.test('R48 a logout token is taken once by all processes together', async (t) => {
    const { logIn, server, post, redis } = await start(t)
    const { sid } = await logIn()
    const token = await logoutToken(server, { claims: { sid } })
    t.equal((await post(token, 0)).status, 200)
    for (const place of [0, 1] as const) t.match(await post(token, place), { status: 400, json: { error_description: 'it was done before' } })
    const client = connect(t, redis)
    const [key = ''] = await client.keys('*:logout')
    const lifetime = await client.pttl(key)
    t.ok(lifetime > 149_000 && lifetime <= 211_000, 'and no longer than it is good')
  })

  t.test('after a rotation the new key is asked for, and where the keys cannot be had the provider is to try again', async (t) => {
    const { logIn, server, post, over, apps } = await start(t)
    const { browser, sid } = await logIn()
    await server.signer.rotate()
    const token = await logoutToken(server, { claims: { sid } })
    server.fault(faults.empty(503), 1, 'jwks')
    const answer = await post(token)
    t.match([answer.status, answer.json.error, answer.headers.get('cache-control')], [503, 'temporarily_unavailable', 'no-store'])
    t.match(answer.headers.get('retry-after'), /^\d+$/)
    t.strictSame(await statusesOf(browser), [200])
    t.equal((await post(token)).status, 503, 'for a while nobody asks')
    apps[1].clock.now += 31
    t.equal((await post(token)).status, 200)
    await over(browser)
  })

  t.test('anybody may post tokens of keys that nobody knows: the provider is asked for its keys once in a while', async (t) => {
    const { server, post, apps } = await start(t)
    const statuses = []
    for (let count = 0; count < 10; count++) statuses.push((await post(await logoutToken(server, { claims: { sub: 'alice' }, forge: forgeries.byUnknownKey }))).status)
    t.strictSame(statuses, [400, ...Array.from({ length: 9 }, () => 503)])
    t.equal(server.requestsTo('jwks').length, 2)
    t.strictSame(apps[1].log.filter((line) => line.includes('"level":50')), [], 'and nobody is told that it was the provider')
    t.ok(await apps[1].logged(/A logout token could not be checked/))
  })

  t.test('a login while Redis is gone succeeds, and is found once it is back', async (t) => {
    const { logIn, logOut, over, redis, apps } = await start(t)
    await redis.stop()
    const { browser, sid } = await logIn()
    await redis.start()
    await apps[0].logged(/Redis answers again/)
    while ((await browser.clone().get('/token')).status === 200) await logOut({ sid })
    await over(browser)
  })

  t.test('tokens that the app saves itself are found as well; a session that has ended is not told again', async (t) => {
    const { server, apps, logOut, over, ended, redis } = await start(t)
    const browser = await apps[0].login()
    const left = await apps[0].login()
    await left.post('/auth/logout')
    t.equal(await logOut({ sub: 'alice' }), 200)
    await over(browser)
    t.strictSame(ended.map(({ reason }) => reason), ['logout', 'backchannelLogout'])
    t.strictSame(await connect(t, redis).keys('*:index'), [], 'and nothing is kept of sessions that are over')
    t.equal(server.families.length, 2)
  })

  t.test('a store that finds its sessions is enough, and then a process knows the logout tokens that came to it', async (t) => {
    const { server, apps, logIn, logOut, post, ended, over } = await start(t, { kept: 'on Redis', coordinator: undefined })
    const { browser, sid } = await logIn()
    const token = await logoutToken(server, { claims: { sid } })
    t.equal((await post(token)).status, 200)
    await over(browser)
    t.match(await post(token), { status: 400, json: { error_description: 'it was done before' } })
    t.equal(await logOut({ sub: 'alice' }), 200)
    apps[1].clock.now += 240
    t.match(await post(token), { status: 400, json: { error_description: '"exp" claim timestamp check failed' } })
    t.strictSame(ended.map(({ reason }) => reason), ['backchannelLogout'])
  })

  t.test('a session that could not be taken out of its store is ended there as well when the provider tries again', async (t) => {
    const { server, apps, logIn, post, redis } = await start(t, { kept: 'on Redis', coordinator: undefined })
    const { browser, sid } = await logIn()
    const token = await logoutToken(server, { claims: { sid } })
    const client = connect(t, redis)
    await client.call('ACL', 'SETUSER', 'default', '-del')
    t.equal((await post(token)).status, 503)
    t.notOk(server.isAlive(sid), 'its refresh token is revoked all the same')
    t.equal((await browser.through(apps[0].origin).get('/optional')).status, 200)
    await client.call('ACL', 'SETUSER', 'default', '+del')
    t.equal((await post(token)).status, 200)
    t.equal((await browser.through(apps[0].origin).get('/optional')).json.token, null, 'also where nobody has heard of it')
  })

  t.test('what it takes of Redis is what docs/scaling.md says', async (t) => {
    const { logIn, logOut, over, redis } = await start(t)
    const client = connect(t, redis)
    const scripts = async () => [...(await client.info('commandstats')).matchAll(/cmdstat_(?:evalsha|exists|hvals|psetex):calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
    const costs: number[] = []
    const cost = async <Result>(act: () => Promise<Result>): Promise<Result> => {
      const before = await scripts()
      const result = await act()
      costs.push(await scripts() - before)
      return result
    }
    const [one, two] = [await cost(logIn), await cost(logIn)]
    await cost(async () => await logOut({ sub: 'bob' }))
    await cost(async () => await logOut({ sub: 'alice', sid: 'nobody\'s' }))
    await cost(() => logOut({ sid: one.sid }))
    await over(one.browser)
    await cost(() => two.browser.post('/auth/logout'))
    const end = 2 + 3
    t.strictSame(costs.slice(1), [3 + 3, 3, 4, 3 + end, 1 + end])
  })

  t.test('a dump of Redis says of nobody who is logged in', async (t) => {
    const { logIn, redis } = await start(t)
    const { sid } = await logIn('somebody@example.com')
    const { keys, text } = await dumpOf(connect(t, redis))
    t.equal(keys.filter((key) => key.endsWith(':index')).length, 3)
    for (const secret of ['somebody@example.com', sid]) for (const disguise of disguises(secret)) t.notOk(text.includes(disguise))
  })

  t.test('the app\'s own forms and errors stay its own, and a guard of the whole app does not close the route', async (t) => {
    const { server, redis } = await start(t)
    const { origin } = await startApp(t, server, {
      coordinator: redisRefreshCoordinator({ redis: connect(t, redis) }),
      login,
      logout: { backchannelLogoutPath: path },
      before: (app) => {
        app.addHook('onRequest', async (request) => { if (request.headers['x-refused'] !== undefined) throw Object.assign(new Error('refused by the app'), { statusCode: 403 }) })
      },
      routes: (app) => app.addHook('onRequest', app.requireAccessToken)
    })
    const visitor = new Browser(origin)
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    const body = new URLSearchParams({ logout_token: await logoutToken(server, { claims: { sub: 'alice' } }) }).toString()
    t.match(await visitor.send('POST', path, { ...form, 'x-refused': '1' }, body), { status: 403, json: { message: 'refused by the app' } })
    t.equal((await visitor.send('POST', path, form, body)).status, 200)
    t.match(await visitor.get('/token'), { status: 401 })
  })

  for (const kept of ['in cookies', 'on Redis'] as const) {
    t.test(`ended by a real provider, with sid: the session of one browser ${kept}, and not that of another`, async (t) => {
      const { apps, browsers, provider, over } = await startReal(t, kept, true)
      const [one, two] = browsers
      await provider.logOut(one.atProvider)
      await over(one.browser)
      t.strictSame(await statusesOf(two.browser, two.browser.through(apps[1])), [200, 200])
      const callback = await provider.authorize(await startLogin(one.browser), one.atProvider)
      t.equal((await one.browser.get(callback)).status, 303)
      t.strictSame(await statusesOf(one.browser, one.browser.through(apps[1])), [200, 200], 'and who logs in again is')
      t.strictSame(revocations(provider), kept === 'on Redis' ? [200, 200] : [], 'who has the tokens revokes them while the provider waits for the answer')
    })

    t.test(`ended by a real provider, without sid: all sessions of the user ${kept}`, async (t) => {
      const { browsers, provider, over } = await startReal(t, kept, false)
      const [one, two] = browsers
      await provider.logOut(two.atProvider)
      await over(one.browser)
      await over(two.browser)
    })
  }

  const revocations = ({ seen }: RealProvider) => seen.filter(({ for: what }) => what === '/token/revocation').map(({ status }) => status)

  /** Two apps on one Redis, of which the provider knows the second, and two browsers that are logged in at the first. */
  async function startReal (t: Test, kept: Kept, withSid: boolean) {
    const port = await freePort()
    const provider = await startRealProvider(t, {
      callbackUri,
      registration: { token_endpoint_auth_method: 'client_secret_basic', backchannel_logout_uri: `http://127.0.0.1:${port}${path}`, backchannel_logout_session_required: withSid },
      features: { backchannelLogout: { enabled: true } }
    })
    const { issuer, client: { id: clientId, secret: clientSecret } } = provider
    const redis = await startRedis(t)
    const one = async (port = 0): Promise<string> => {
      const client = connect(t, redis)
      await once(client, 'ready')
      const app = Fastify({ forceCloseConnections: true })
      t.teardown(async () => { await app.close() })
      await app.register(tokenManagement, {
        issuer,
        clientId,
        clientSecret,
        session: { key: sessionKey },
        coordinator: redisRefreshCoordinator({ redis: client, timeout: 2 }),
        ...kept === 'on Redis' && { tokenStore: redisTokenStore({ redis: client, timeout: 2 }) },
        login,
        logout: { backchannelLogoutPath: path }
      })
      app.get('/token', async (request) => ({ token: await request.accessToken() }))
      return await app.listen({ port, host: '127.0.0.1' })
    }
    const apps = [await one(), await one(port)] as const
    const browserOf = async () => {
      const [browser, atProvider] = [new Browser(apps[0]), new Browser(issuer)]
      const answer = await browser.get(await provider.authorize(await startLogin(browser), atProvider))
      t.equal(answer.status, 303)
      return { browser, atProvider }
    }
    const browsers = [await browserOf(), await browserOf()] as const
    return {
      apps,
      browsers,
      provider,
      over: async (browser: Browser) => { for (const origin of apps) while ((await browser.through(origin).clone().get('/token')).status !== 401); }
    }
  }
})

t.test('where no session could be found, or no logout token verified, the boot fails and says why', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const boot = async (options: Partial<TokenManagementOptions>) => await startApp(t, server, { login, logout: { backchannelLogoutPath: path }, ...options })
  const withoutLogouts = (): SharedCoordinator => ({
    claim: async () => ({ status: 'alone' }),
    sending: async () => 'alone',
    settle: async () => true,
    look: async () => ({ status: 'alone' }),
    end: async () => {},
    onEnded: () => {},
    replace: async () => {},
    onReplaced: () => {},
    close: async () => {}
  })
  const code = 'FST_TOKEN_INVALID_OPTIONS'
  await t.rejects(boot({}), { code, message: /logout\.backchannelLogoutPath needs the option coordinator.*or a store that finds its sessions/ })
  await t.rejects(boot({ coordinator: withoutLogouts }), { code, message: /logout\.backchannelLogoutPath needs the option coordinator/ })
  const logouts = { index: async () => {}, find: async () => [], forget: async () => {}, hasSeen: async () => false, see: async () => {} }
  server.settings.metadata = { jwks_uri: undefined }
  await t.rejects(boot({ coordinator: () => ({ ...withoutLogouts(), logouts }) }), { code, message: /needs a provider whose metadata has a jwks_uri/ })
  server.settings.metadata = {}
  await boot({ coordinator: () => ({ ...withoutLogouts(), logouts }) })
})
