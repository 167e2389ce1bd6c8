import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { channel, tracingChannel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import { test, type Test } from 'tap'
import { Tracing } from '../lib/diagnostics.ts'
import { LoginFailed } from '../lib/errors.ts'
import type { ApiMessage, ClientTokenMessage, ExchangeMessage, LoginMessage, LogoutMessage, RefreshMessage, SessionEndedEvent, TokenSet } from '../lib/index.ts'
import type { SharedCoordinator } from '../lib/redis.ts'
import tokenProxy from '../lib/proxy.ts'
import { startApi } from './support/api.ts'
import { type AuthorizationServer, startAuthorizationServer } from './support/authorization-server/authorization-server.ts'
import { Browser } from './support/browser.ts'
import { freePort } from './support/free-port.ts'
import { authorize, logIn, startLogin, startLoginApp, withParameter } from './support/login-flow.ts'
import { ages, assertNoSecrets, startScenario } from './support/scenario.ts'
import { startApp, type TestAppOptions } from './support/start-app.ts'

interface Messages {
  refresh: RefreshMessage
  login: LoginMessage
  logout: LogoutMessage
  exchange: ExchangeMessage
  'client-token': ClientTokenMessage
  api: ApiMessage
}

/** What is published on a tracing channel: what each message says as its work ends, and all that they ever said. */
function trace<Name extends keyof Messages> (t: Test, name: Name) {
  const channels = tracingChannel<unknown, Messages[Name]>(`fastify-token-management:${name}`)
  const started: Array<Messages[Name]> = []
  const ended: Array<Messages[Name]> = []
  const events: string[] = []
  const texts: string[] = []
  const note = (event: string) => (message: object) => {
    events.push(event)
    texts.push(inspect(message, { depth: Infinity, showHidden: true }))
  }
  const subscribers = {
    start (message: Messages[Name]) {
      note('start')(message)
      started.push({ ...message })
    },
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd (message: Messages[Name]) {
      note('asyncEnd')(message)
      ended.push(message)
    },
    error: note('error')
  }
  channels.subscribe(subscribers)
  t.teardown(() => channels.unsubscribe(subscribers))
  return { started, ended, events, texts, stop: () => channels.unsubscribe(subscribers) }
}

/** An answer of the token endpoint without processing. */
const answer = (status: number, body: object, headers = {}) => ({ instead: () => ({ status, body, headers }) })

const registration = { provider: 'default', clientId: 'web' }

/** Other processes, which do nothing of their own. */
function sharedCoordinator (given: Partial<SharedCoordinator>): SharedCoordinator {
  return {
    claim: async () => ({ status: 'yours', mayBeSent: false }),
    sending: async () => 'yours',
    settle: async () => true,
    look: async () => ({ status: 'newest' }),
    end: async () => {},
    onEnded: () => {},
    replace: async () => {},
    onReplaced: () => {},
    close: async () => {},
    ...given
  }
}

test('50 parallel requests on one expired session are one refresh: its message says how many have waited, and what came of it', async (t) => {
  const { started, ended, events, texts } = trace(t, 'refresh')
  const { server, atOnce, loginAged } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  t.match(await browser.clone().get('/optional'), { status: 200 }, 'what comes later joins nothing')
  const late = await loginAged(ages.expired)
  await atOnce(server.hold(), Array.from({ length: 50 }, () => () => late.clone().get('/token')))
  t.match(started, [{ ...registration, sessionId: String, outcome: undefined, waiters: undefined }, { sessionId: String }])
  t.match(ended, [{ outcome: 'refreshed', waiters: 1 }, { ...registration, outcome: 'refreshed', waiters: 50, result: undefined, error: undefined, pauseSeconds: undefined }])
  t.not(ended[0]?.sessionId, ended[1]?.sessionId)
  t.strictSame(events, [1, 2].flatMap(() => ['start', 'end', 'asyncStart', 'asyncEnd']))

  const { json } = await browser.get('/token')
  await browser.get('/renew', { rejected: String(json.token) })
  t.equal(ended.length, 4, 'one that an API has rejected is renewed')
  assertNoSecrets(t, server, texts)
})

test('a token that is good publishes nothing', async (t) => {
  const { events } = trace(t, 'refresh')
  const { login } = await startScenario(t)
  t.match(await (await login()).get('/token'), { status: 200 })
  t.strictSame(events, [])
})

test('a refresh that fails says by its code what that means, and for how long it pauses; while it does, nobody was asked', async (t) => {
  const { ended, events, texts } = trace(t, 'refresh')
  const { server, loginAged, clock } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  const next = async () => {
    await browser.get('/tokens')
    t.equal(ended.length, 1)
    return ended.splice(0)
  }
  server.fault(answer(500, { error: 'server_error' }), 2)
  t.match(await next(), [{ outcome: 'failed', failure: 'unavailable', pauseSeconds: 1, waiters: 1, error: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE', cause: { status: 500 } } }])
  clock.now += 0.25
  t.match(await next(), [{ outcome: 'paused', failure: 'unavailable', pauseSeconds: 0.75, error: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } }])
  clock.now += 1
  t.match(await next(), [{ outcome: 'failed', pauseSeconds: 2 }], 'it has doubled')
  clock.now += 2
  server.fault(answer(400, { error: 'unauthorized_client', error_description: `${server.tokens.join(' ')}` }))
  t.match(await next(), [{ outcome: 'failed', failure: 'rejected', pauseSeconds: 5, error: { code: 'FST_TOKEN_LOGIN_REQUIRED' } }])
  clock.now += 5
  server.fault(answer(400, { error: 'invalid_grant' }))
  t.match(await next(), [{ outcome: 'failed', failure: 'ended', pauseSeconds: undefined, error: { code: 'FST_TOKEN_LOGIN_REQUIRED' } }])
  t.match(await next(), [{ outcome: 'paused', failure: 'ended', pauseSeconds: undefined }], 'it is dead')
  t.strictSame(events.slice(0, 5), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])

  const other = await loginAged(ages.expired)
  server.fault(answer(200, { access_token: 'of-no-use', token_type: 'mac', refresh_token: 'salvaged' }))
  await other.get('/tokens')
  t.equal(ended.length, 2)
  t.match(ended, [{ outcome: 'failed', failure: 'badResponse', error: { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE' } }, { outcome: 'paused', failure: 'badResponse' }], 'also where the session goes on with its refresh token')
  assertNoSecrets(t, server, texts)
  t.notMatch(texts.join(), /of-no-use|salvaged/)
})

test('a refresh that gets no answer says so, and one that is not sent while the service is out of reach', async (t) => {
  const { ended, texts } = trace(t, 'refresh')
  const { server, loginAged, clock } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  const gate = server.hold()
  const refreshing = browser.get('/tokens')
  await gate.arrived()
  await server.refuseConnections()
  await refreshing
  clock.now += 5
  await browser.get('/tokens')
  t.equal(ended.length, 2)
  t.match(ended, [{ outcome: 'failed', failure: 'ambiguous', pauseSeconds: 5 }, { outcome: 'paused', failure: 'unavailable', pauseSeconds: Number }])
  assertNoSecrets(t, server, texts)
})

test('a refresh that a logout crosses says so', async (t) => {
  const { ended, texts } = trace(t, 'refresh')
  const { server, loginAged } = await startScenario(t, { routes: (app) => { app.get('/clear', { config: { tokens: false } }, async (request) => { await request.tokens.clear(); return {} }) } })
  const browser = await loginAged(ages.expired)
  const gate = server.hold()
  const refreshing = browser.clone().get('/token')
  await gate.arrived()
  await browser.get('/clear')
  gate.release()
  await refreshing
  t.match(ended, [{ outcome: 'loggedOut', failure: undefined, error: { code: 'FST_TOKEN_UNAUTHENTICATED' } }])
  assertNoSecrets(t, server, texts)
})

test('a refresh whose turn another process has, or had, says so', async (t) => {
  const { ended, texts } = trace(t, 'refresh')
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  let content: Buffer | undefined
  let isForgotten = false
  const coordinator = () => sharedCoordinator({
    claim: async () => {
      if (isForgotten) return { status: 'spent' }
      return content === undefined ? { status: 'yours', mayBeSent: false } : { status: 'succeeded', content, isNewest: true }
    },
    settle: async (_spendable, outcome) => {
      if ('successor' in outcome) content = outcome.successor.content
      return true
    }
  })
  const [one, two, three] = [await startApp(t, server, { coordinator }), await startApp(t, server, { coordinator }), await startApp(t, server, { coordinator })]
  const browser = await one.login()
  for (const { clock } of [one, two, three]) clock.now += 61
  await browser.clone().get('/token')
  await browser.clone().through(two.origin).get('/token')
  isForgotten = true
  await browser.clone().through(three.origin).get('/token')
  t.match(ended, [{ outcome: 'refreshed' }, { outcome: 'joined', waiters: 1 }, { outcome: 'spent', failure: undefined, error: { code: 'FST_TOKEN_LOGIN_REQUIRED' } }])
  t.equal(server.tokenRequests, 1)
  assertNoSecrets(t, server, texts)
})

test('a refresh starts in the context of the request that begins it, and is of the resource and scope that were asked for', async (t) => {
  const contexts = new AsyncLocalStorage<string>()
  const seen: Array<string | undefined> = []
  const start = () => { seen.push(contexts.getStore()) }
  const channels = tracingChannel('fastify-token-management:refresh')
  channels.start.subscribe(start)
  t.teardown(() => { channels.start.unsubscribe(start) })
  const { ended } = trace(t, 'refresh')
  const { server, loginAged, entered } = await startScenario(t, {
    before: (app) => { app.addHook('onRequest', (request, _reply, done) => { contexts.run(String(request.headers.name), done) }) },
    routes: (app) => { app.get('/orders', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken({ resource: 'https://orders.example.com/', scope: 'write read' }) })) }
  })
  const browser = await loginAged(ages.expired)
  const gate = server.hold()
  const first = browser.clone().get('/token', { name: 'first' })
  await gate.arrived()
  const bothInside = entered(1)
  const second = browser.clone().get('/token', { name: 'second' })
  await bothInside
  gate.release()
  await Promise.all([first, second])
  t.match(ended, [{ waiters: 2, resource: undefined, scope: undefined }])
  await browser.get('/orders', { name: 'third' })
  t.match(ended[1], { resource: 'https://orders.example.com/', scope: 'read write' })
  t.strictSame(seen, ['first', 'third'])
})

test('with nobody who listens the work is all there is, and gives the same', async (t) => {
  const { events, stop } = trace(t, 'refresh')
  stop()
  const { loginAged } = await startScenario(t)
  t.match(await (await loginAged(ages.expired)).get('/token'), { status: 200, json: { token: String } })
  t.strictSame(events, [])

  const tracing = new Tracing<{ error?: unknown, secret?: string }, string>('test', { done: () => ({}), failed: () => ({ error: new LoginFailed('told') }) })
  const work = Promise.resolve('the work itself')
  t.equal(tracing.trace({}, () => work), work)
  const channels = tracingChannel('fastify-token-management:test')
  const told: unknown[] = []
  const listener = (message: unknown) => { told.push(message) }
  channels.asyncEnd.subscribe(listener)
  t.teardown(() => { channels.asyncEnd.unsubscribe(listener) })
  t.equal(await tracing.trace({}, async () => 'the same'), 'the same')
  const thrown = new Error('a secret')
  await t.rejects(tracing.trace({}, async () => { throw thrown }).catch((error: unknown) => {
    t.equal(error, thrown, 'as it was thrown')
    throw error
  }))
  t.match(told, [{ result: undefined }, { error: { code: 'FST_TOKEN_LOGIN_FAILED' } }])
})

test('whatever a subscriber does to a message, or when it goes, the refresh brings its token', async (t) => {
  const channels = tracingChannel<unknown, RefreshMessage>('fastify-token-management:refresh')
  const freeze = (message: unknown) => { Object.freeze(message) }
  channels.start.subscribe(freeze)
  t.teardown(() => { channels.start.unsubscribe(freeze) })
  const { server, loginAged } = await startScenario(t)
  t.match(await (await loginAged(ages.expired)).get('/token'), { status: 200, json: { token: String } })
  channels.start.unsubscribe(freeze)

  const { events, stop } = trace(t, 'refresh')
  const browser = await loginAged(ages.expired)
  const gate = server.hold()
  const refreshing = browser.get('/token')
  await gate.arrived()
  stop()
  gate.release()
  t.match(await refreshing, { status: 200, json: { token: String } })
  t.strictSame(events, ['start', 'end'])
  t.equal(server.refreshes, 2)
})

test('the end of a session is published as the app is told of it', async (t) => {
  const published: unknown[] = []
  const listener = (message: unknown) => { published.push(message) }
  const sessionEnded = channel('fastify-token-management:session-ended')
  sessionEnded.subscribe(listener)
  t.teardown(() => { sessionEnded.unsubscribe(listener) })
  const told: SessionEndedEvent[] = []
  const { server, browser } = await startLoginApp(t, { onSessionEnded: (event) => { told.push(event) } })
  await logIn(browser)
  await logIn(browser)
  await browser.post('/auth/logout')
  t.match(published, [{ provider: 'default', sessionId: String, reason: 'replaced' }, { provider: 'default', sessionId: String, reason: 'logout' }])
  await new Promise(setImmediate)
  t.strictSame(published, told)
  assertNoSecrets(t, server, [inspect(published)])
})

test('both steps of a login are told, and what came of them', async (t) => {
  const { started, ended, texts } = trace(t, 'login')
  const secret = 'what the app says'
  let onLogin = (): void => {}
  const { server, browser, origin } = await startLoginApp(t, { login: { onLogin: () => { onLogin() } } })
  const path = await authorize(await startLogin(browser))
  const before = browser.clone()
  await browser.get(path)
  await before.get(path)
  await browser.get(path)
  t.match(started, ['start', 'callback', 'callback', 'callback'].map((step) => ({ ...registration, step })))
  t.match(ended, [{ outcome: 'redirected', sessionId: undefined }, { outcome: 'loggedIn', sessionId: String }, { outcome: 'repeated', sessionId: ended[1]?.sessionId }, { outcome: 'alreadyLoggedIn' }])

  const failed = async (callback: () => Promise<string>) => {
    await browser.get(await callback())
    return ended.splice(0).at(-1)
  }
  browser.cookies.clear()
  const url = async () => await authorize(await startLogin(browser))
  t.match(await failed(async () => path), { step: 'callback', outcome: 'failed', error: { code: 'FST_TOKEN_LOGIN_FAILED', isUnknown: true } })
  t.match(await failed(async () => withParameter(withParameter(await url(), 'code', null), 'error', 'access_denied')), { outcome: 'failed', error: { code: 'FST_TOKEN_LOGIN_FAILED', providerError: 'access_denied' } })
  server.fault(answer(400, { error: 'invalid_client' }))
  t.match(await failed(url), { outcome: 'failed', error: { code: 'FST_TOKEN_SERVICE_REFUSED' } })
  onLogin = () => { throw new Error(secret) }
  t.match(await failed(url), { outcome: 'failed', error: { code: 'FST_TOKEN_LOGIN_FAILED' } })
  t.notMatch(texts.join(), new RegExp(`${secret}|${origin}`))
  assertNoSecrets(t, server, [...texts, inspect(started)])
})

test('a login that cannot be started is told', async (t) => {
  const { ended, texts } = trace(t, 'login')
  const { server, browser } = await startLoginApp(t, { login: { pushedAuthorizationRequests: true } })
  server.fault(answer(401, { error: 'invalid_client' }), 1, 'pushedAuthorization')
  t.match(await browser.get('/auth/login'), { status: 502 })
  t.match(ended, [{ step: 'start', outcome: 'failed', error: { code: 'FST_TOKEN_SERVICE_REFUSED' } }])
  assertNoSecrets(t, server, texts)
})

test('a logout here is told', async (t) => {
  const { started, ended, texts } = trace(t, 'logout')
  const { server, browser } = await startLoginApp(t)
  await logIn(browser)
  await browser.post('/auth/logout', { 'sec-fetch-site': 'cross-site' })
  await browser.post('/auth/logout')
  await browser.post('/auth/logout')
  t.match(started, started.map(() => ({ ...registration, initiator: 'app' })))
  t.match(ended, [{ outcome: 'failed', error: { code: 'FST_TOKEN_CROSS_SITE' } }, { outcome: 'loggedOut', sessionId: String }, { outcome: 'nobody', sessionId: undefined }])
  assertNoSecrets(t, server, texts)
})

test('a logout that the provider tells of is told, and a token that is none; not what is in it', async (t) => {
  const { ended, texts } = trace(t, 'logout')
  let kept: TokenSet | null = null
  const store = {
    get: () => kept,
    set: (_context: unknown, tokens: TokenSet) => { kept = tokens },
    clear: () => { kept = null },
    directory: {
      find: async () => kept === null ? [] : [kept],
      set: async (tokens: TokenSet) => { kept = tokens },
      clear: async () => { kept = null }
    }
  }
  const path = '/auth/backchannel-logout'
  const { server, browser, app } = await startLoginApp(t, { before: (app) => { app.decorate('tokenStore', store) }, logout: { backchannelLogoutPath: path } })
  await logIn(browser)
  const iat = Math.floor(Date.now() / 1000)
  const token = await server.signer.sign({ iss: server.issuer, aud: 'web', iat, exp: iat + 60, jti: randomUUID(), sub: server.settings.user, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, 'logout+jwt')
  const post = async (token: string) => (await app.inject({ method: 'POST', url: path, payload: new URLSearchParams({ logout_token: token }).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } })).statusCode
  t.strictSame([await post(token), await post('nonsense'), await post(token)], [200, 400, 400])
  t.equal(kept, null)
  t.match(ended, [{ ...registration, initiator: 'provider', outcome: 'loggedOut', sessionId: undefined }, ...[1, 2].map(() => ({ outcome: 'failed', error: { code: 'FST_TOKEN_INVALID_PARAMETERS' } }))])
  const refused = Object.assign(store, { directory: { ...store.directory, find: async () => { throw new Error('gone') } } })
  t.ok(refused)
  const other = await server.signer.sign({ iss: server.issuer, aud: 'web', iat, exp: iat + 60, jti: randomUUID(), sub: 'bob', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, 'logout+jwt')
  t.equal(await post(other), 503)
  t.match(ended[3], { outcome: 'failed', error: { code: 'FST_TOKEN_STORE_FAILED' } })
  for (const one of [token, other]) t.notOk(texts.join().includes(one))
  assertNoSecrets(t, server, texts)
})

test('what the app\'s own functions and stores have thrown is in no message, whatever is in that', async (t) => {
  const channels = (['refresh', 'login', 'logout', 'client-token', 'api'] as const).map((name) => trace(t, name))
  const [refresh, login, logout, clientToken, api] = channels.map(({ ended }) => ended)
  const secret = 'a secret of the app'
  const fail = (): never => { throw Object.assign(new Error(secret, { cause: secret }), { config: { secret } }) }
  const refreshed = async (options: TestAppOptions) => {
    const { loginAged, app } = await startScenario(t, { clients: { jobs: {} }, ...options })
    const browser = await loginAged(ages.expired)
    await browser.get('/tokens')
    await browser.get('/tokens')
    await t.rejects(app.clientAccessToken('jobs'))
  }
  const failed = (code: string, cause: object | undefined) => ({ outcome: 'failed', error: { code, cause, message: /\w/ } })
  await refreshed({ tokenRequest: fail })
  t.match([refresh?.splice(0), clientToken?.splice(0)], [[failed('FST_TOKEN_HOOK_FAILED', undefined), { outcome: 'paused' }], [failed('FST_TOKEN_HOOK_FAILED', undefined)]])
  await refreshed({ tokenResponse: fail })
  t.match([refresh?.splice(0), clientToken?.splice(0)], [[failed('FST_TOKEN_SERVICE_BAD_RESPONSE', { status: 200, cause: undefined }), { outcome: 'paused' }, { outcome: 'paused' }], [{ outcome: 'failed' }]])
  await refreshed({ clientAuthentication: async () => fail(), clientSecret: undefined })
  t.match([refresh, clientToken], [[failed('FST_TOKEN_SERVICE_UNAVAILABLE', { name: 'BackchannelError', cause: undefined }), { outcome: 'paused' }], [{ outcome: 'failed' }]])

  let kept: TokenSet | null = null
  let access: (verb: string) => void = () => {}
  const store = {
    get: () => { access('get'); return kept },
    set: (_context: unknown, tokens: TokenSet) => { access('set'); kept = tokens },
    clear: () => { access('clear'); kept = null }
  }
  let parameters: () => Record<string, string> = () => ({})
  const logouts = { index: async () => {}, find: async () => [], forget: async () => {}, hasSeen: async () => fail(), see: async () => {} }
  const path = '/auth/backchannel-logout'
  const { server, browser, app } = await startLoginApp(t, {
    login: { parameters: () => parameters() },
    logout: { backchannelLogoutPath: path },
    coordinator: () => sharedCoordinator({ logouts }),
    apis: { orders: { origin: 'http://127.0.0.1:9999', token: 'user' } },
    before: (app) => { app.decorate('tokenStore', store) },
    routes: (app) => { app.get('/call', { config: { tokens: false } }, async (request) => { await request.apiClient('orders').fetch('/') }) }
  })
  const failing = (verb: string) => { access = (accessed) => { if (accessed === verb) fail() } }
  failing('set')
  await logIn(browser)
  parameters = fail
  await browser.get('/auth/login')
  t.match(login, [{ outcome: 'redirected' }, failed('FST_TOKEN_STORE_FAILED', undefined), failed('FST_TOKEN_HOOK_FAILED', undefined)])
  parameters = () => ({})
  failing('nothing')
  await logIn(browser)
  failing('get')
  await browser.get('/call')
  t.match(api, [failed('FST_TOKEN_STORE_FAILED', undefined)])
  failing('clear')
  await browser.post('/auth/logout')
  const iat = Math.floor(Date.now() / 1000)
  const token = await server.signer.sign({ iss: server.issuer, aud: 'web', iat, exp: iat + 60, jti: randomUUID(), sub: 'bob', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, 'logout+jwt')
  await app.inject({ method: 'POST', url: path, payload: new URLSearchParams({ logout_token: token }).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } })
  t.match(logout, [failed('FST_TOKEN_STORE_FAILED', undefined), failed('FST_TOKEN_STORE_FAILED', undefined)])
  for (const { texts } of channels) t.notMatch(texts.join(), secret)
})

test('a request for a token of a client is told, and how it fails', async (t) => {
  const { started, ended, texts } = trace(t, 'client-token')
  const server = await startAuthorizationServer({ clientSecret: 'the-secret-of-the-client' })
  t.teardown(() => server.close())
  const { app, clock } = await startApp(t, server, { clients: { jobs: { scope: ['read'], resource: 'https://api.example.com/' } } })
  const token = await app.clientAccessToken('jobs')
  await app.clientAccessToken('jobs')
  server.fault(answer(401, { error: 'unauthorized_client' }))
  const renewal = async () => await app.clientAccessToken('jobs', { forceRenewal: token }).catch(({ code }: { code: string }) => code)
  t.strictSame([await renewal(), await renewal()], ['FST_TOKEN_SERVICE_REFUSED', 'FST_TOKEN_SERVICE_REFUSED'])
  clock.now += 5
  await renewal()
  t.match(started, started.map(() => ({ ...registration, client: 'jobs', scope: 'read', resource: 'https://api.example.com/' })))
  const error = { code: 'FST_TOKEN_SERVICE_REFUSED' }
  t.match(ended, [{ outcome: 'issued' }, { outcome: 'failed', failure: 'refused', pauseSeconds: 5, error }, { outcome: 'paused', failure: 'refused', pauseSeconds: Number, error }, { outcome: 'issued' }])
  assertNoSecrets(t, server, texts)
})

test('a token exchange is told, and how it fails', async (t) => {
  const { started, ended, texts } = trace(t, 'exchange')
  const { server, login } = await startScenario(t, {
    routes: (app) => { app.get<{ Headers: { audience: string } }>('/exchange', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken({ exchange: { audience: request.headers.audience, scope: 'read', parameters: { hint: 'a-hint' } } }) })) }
  })
  const browser = await login()
  const exchange = async (audience: string) => (await browser.get('/exchange', { audience })).status
  t.strictSame([await exchange('orders'), await exchange('orders')], [200, 200])
  server.fault(answer(400, { error: 'invalid_target' }))
  t.strictSame([await exchange('stock'), await exchange('stock')], [502, 502])
  t.match(started, ['orders', 'stock', 'stock'].map((audience) => ({ ...registration, sessionId: String, audience, scope: 'read', resource: undefined })))
  t.match(ended, [{ outcome: 'issued' }, { outcome: 'failed', failure: 'refused', error: { code: 'FST_TOKEN_SERVICE_REFUSED' } }, { outcome: 'paused', failure: 'refused' }])
  t.notMatch(texts.join(), /a-hint/)
  assertNoSecrets(t, server, texts)
})

/** What an API answers that breaks off HTTP. */
const answered = 'an answer with a secret'

async function startApiApp (t: Test, server: AuthorizationServer) {
  t.teardown(() => server.close())
  const api = await startApi(t, { issuer: server.issuer })
  const broken = createServer((socket) => socket.on('error', () => {}).on('data', (request) => socket.end(`HTTP/1.1 ${/^upgrade:/im.test(String(request)) ? '101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw' : `200 OK\r\n${answered}`}\r\n\r\n`)))
  t.teardown(() => { broken.close() })
  await once(broken.listen(0, '127.0.0.1'), 'listening')
  const leaving = new AbortController()
  const app = await startApp(t, server, {
    apis: {
      orders: { origin: api.origin, token: 'user' },
      gone: { origin: `http://127.0.0.1:${await freePort()}`, token: 'none' },
      broken: { origin: `http://127.0.0.1:${String(Object(broken.address()).port)}`, token: 'none' }
    },
    routes: async (app) => {
      await app.register(tokenProxy, { prefix: '/api', api: 'orders' })
      app.get<{ Params: { name: string } }>('/call/:name', { config: { tokens: false } }, async (request) => {
        const { status } = await request.apiClient(request.params.name).fetch('/42', { method: 'POST', body: '{}', signal: leaving.signal })
        return { status }
      })
    }
  })
  return { api, app, leaving }
}

test('a call to an API is told, whether its token was renewed, and how it fails', async (t) => {
  const { started, ended, texts } = trace(t, 'api')
  const server = await startAuthorizationServer({ accessTokenFormat: 'jwt' })
  const { api, app, leaving } = await startApiApp(t, server)
  const browser = await app.login()
  await browser.get('/call/orders')
  const { token } = (await browser.get('/token')).json
  api.reject(String(token))
  t.match((await browser.get('/call/orders')).json, { status: 200 })
  t.match(await browser.get('/api/7', { 'x-csrf': '1' }), { status: 200 })
  await browser.get('/call/gone')
  await browser.get('/call/broken')
  await new Browser(app.origin).get('/call/orders')
  api.next(() => new Promise(() => { leaving.abort(new Error('of the caller')) }))
  await browser.get('/call/orders')
  const about = { provider: 'default', api: 'orders', method: 'POST', origin: api.origin }
  t.match(started, [about, about, { ...about, method: 'GET' }, { ...about, api: 'gone', origin: String }, { api: 'broken' }, about, about])
  t.match(ended, [
    { outcome: 'answered', status: 200, renewed: undefined, result: undefined },
    { outcome: 'answered', status: 200, renewed: true },
    { outcome: 'answered', status: 200 },
    { outcome: 'failed', status: undefined, error: { code: 'FST_TOKEN_API_UNAVAILABLE' } },
    { outcome: 'failed', error: { code: 'FST_TOKEN_API_UNAVAILABLE' } },
    { outcome: 'failed', error: { code: 'FST_TOKEN_UNAUTHENTICATED' } },
    { outcome: 'aborted', error: { code: 'FST_TOKEN_API_UNAVAILABLE' } }
  ])
  const { socket } = await app.app.apiClient('broken').dispatcher.upgrade({ path: '/', protocol: 'raw' })
  socket.destroy()
  await new Promise(setImmediate)
  t.equal(ended.length, 8)
  t.match(ended[7], { api: 'broken', method: 'GET', outcome: 'answered', status: 101 })
  t.notOk(texts.some((text) => text.includes(answered)), 'nothing of what was answered')
  assertNoSecrets(t, server, texts)
})
