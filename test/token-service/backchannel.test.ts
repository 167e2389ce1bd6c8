import { createServer } from 'node:net'
import { EventEmitter, once } from 'node:events'
import { inspect } from 'node:util'
import { test, type Test } from 'tap'
import { Agent, type Dispatcher, MockAgent, request } from 'undici'
import undici5 from 'undici5'
import undici6 from 'undici6'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import type { Browser } from '../support/browser.ts'
import { startApp, type TestApp } from '../support/start-app.ts'
import { BackchannelError, callBackchannel } from '../../lib/token-service/backchannel.ts'

async function start (t: Test, metadata: Settings['metadata'] = {}): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ expiresIn: 60, metadata })
  t.teardown(() => server.close())
  return server
}

/** An Agent that notes what goes through it. */
class WatchedAgent extends Agent {
  readonly paths: string[] = []

  override dispatch (options: Agent.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.paths.push(options.path)
    return super.dispatch(options, handler)
  }
}

function watchedAgent (t: Test): WatchedAgent {
  const agent = new WatchedAgent()
  t.teardown(() => agent.destroy())
  return agent
}

/** Lets the session expire and asks for its token at some path. */
async function refreshAt ({ clock }: TestApp, browser: Browser, path: string): Promise<number> {
  clock.now += 61
  return (await browser.get(path)).status
}

const isClosed = async (dispatcher: Dispatcher, url: string): Promise<boolean> => {
  try {
    await (await request(url, { dispatcher })).body.dump()
    return false
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'UND_ERR_DESTROYED') return true
    if (error instanceof Error && 'code' in error && error.code === 'UND_ERR_CLOSED') return true
    throw error
  }
}

async function tokenRoute (app: TestApp['app']): Promise<void> {
  app.get('/inner', async (request) => ({ token: await request.accessToken() }))
  app.post('/revoke', async (request) => { await request.tokens.revoke() })
}

for (const by of ['option', 'decorator'] as const) {
  test(`all traffic, discovery included, goes over the app's own dispatcher given by ${by}, which stays open when the app closes`, async (t) => {
    const server = await start(t)
    const agent = watchedAgent(t)
    const test = await startApp(t, server, {
      ...(by === 'option' && { backchannel: agent }),
      before: (app) => by === 'decorator' && app.decorate('backchannel', agent),
      routes: tokenRoute
    })
    t.equal(test.app.backchannel, agent)
    const browser = await test.login()
    t.equal(await refreshAt(test, browser, '/inner'), 200)
    await browser.post('/revoke')
    t.strictSame(agent.paths, ['/.well-known/openid-configuration', '/token', '/jwks', '/revoke', '/revoke'])
    t.strictSame(server.requests.map(({ url }) => url.pathname), agent.paths, 'nothing went past it')
    await test.app.close()
    t.notOk(await isClosed(agent, server.issuer))
  })
}

test('the option wins over the decorator for its provider, and the decorator stays what the app made it', async (t) => {
  const server = await start(t)
  const [byOption, byDecorator] = [watchedAgent(t), watchedAgent(t)]
  const test = await startApp(t, server, { backchannel: byOption, before: (app) => app.decorate('backchannel', byDecorator) })
  t.equal(test.app.backchannel, byDecorator)
  t.equal(await refreshAt(test, await test.login(), '/token'), 200)
  t.strictSame([byOption.paths.length, byDecorator.paths.length], [3, 0])
})

test('in an encapsulated context the nearest decorator wins', async (t) => {
  const server = await start(t)
  const [outer, inner, innermost] = [watchedAgent(t), watchedAgent(t), watchedAgent(t)]
  const test = await startApp(t, server, {
    refresh: 'manual',
    before: (app) => app.decorate('backchannel', outer),
    routes: (app) => app.register(async (child) => {
      child.decorate('backchannel', inner)
      await tokenRoute(child)
      await child.register(async (grandchild) => {
        grandchild.decorate('backchannel', innermost)
        grandchild.get('/innermost', { onRequest: grandchild.requireAccessToken }, async (request) => ({ token: await request.accessToken() }))
      })
    })
  })
  const browser = await test.login()
  for (const path of ['/inner', '/innermost', '/token']) t.equal(await refreshAt(test, browser, path), 200)
  await browser.post('/revoke')
  t.strictSame(outer.paths, ['/.well-known/openid-configuration', '/token'])
  t.strictSame(inner.paths, ['/token', '/jwks', '/revoke', '/revoke'])
  t.strictSame(innermost.paths, ['/token'])
})

test('options of an undici Agent are handed to the pool, and it is closed with the app', async (t) => {
  const server = await start(t)
  const sockets: string[] = []
  const { app } = await startApp(t, server, {
    backchannel: {
      factory: (origin, options) => {
        sockets.push(`${String(origin)} ${'connections' in options ? String(options.connections) : ''}`)
        return new Agent(options)
      },
      connections: 3
    }
  })
  t.strictSame(sockets, [`${server.issuer} 3`])
  const { backchannel } = app
  t.notOk(await isClosed(backchannel, server.issuer))
  await app.close()
  t.ok(await isClosed(backchannel, server.issuer))
})

test('connections are kept alive: one after the other needs one, and many at once ten', async (t) => {
  const server = await start(t, { jwks_uri: undefined })
  const test = await startApp(t, server)
  t.equal(server.connections, 1)
  const browser = await test.login()
  for (let count = 0; count < 10; count++) t.equal(await refreshAt(test, browser, '/token'), 200)
  t.equal(server.connections, 1)

  const browsers = await Promise.all(Array.from({ length: 30 }, () => test.login()))
  const gate = server.hold()
  test.clock.now += 61
  const answers = browsers.map((each) => each.get('/token'))
  await gate.arrived(10)
  t.equal(gate.waiting, 10, 'the rest waits for a connection')
  gate.release()
  t.strictSame(new Set((await Promise.all(answers)).map(({ status }) => status)), new Set([200]))
  t.equal(server.connections, 10)
  t.equal(server.refreshes, 40)
})

test('one connection is enough where the options say so', async (t) => {
  const server = await start(t)
  const test = await startApp(t, server, { backchannel: { connections: 1 } })
  const browsers = await Promise.all(Array.from({ length: 5 }, () => test.login()))
  test.clock.now += 61
  const answers = await Promise.all(browsers.map((each) => each.get('/token')))
  t.strictSame(answers.map(({ status }) => status), [200, 200, 200, 200, 200])
  t.equal(server.connections, 1)
})

test('a refresh that is under way when the app closes is finished, so that its tokens are not lost in mid-air', async (t) => {
  const server = await start(t)
  const test = await startApp(t, server, { fastify: { forceCloseConnections: false } })
  const browser = await test.login()
  test.clock.now += 61
  const gate = server.hold()
  const answer = browser.get('/token', { connection: 'close' })
  await gate.arrived()
  const closing = test.app.close()
  gate.release()
  t.equal((await answer).status, 200)
  await closing
})

test('a request that did not leave is told apart from one that may have been worked on', async (t) => {
  const server = await start(t)
  // Answers whatever it reads in plain http: no TLS can be spoken with it.
  const plain = createServer((socket) => { socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).on('error', () => {}) })
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  t.teardown(() => { plain.close() })
  const address = plain.address()
  const plainPort = address !== null && typeof address === 'object' ? address.port : 0
  const gone = await startAuthorizationServer()
  await gone.close()

  const lookup = (_host: string, _options: object, done: (error: Error, address: string, family: number) => void) => {
    done(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }), '', 0)
  }
  const connect = (_options: object, done: (error: Error, socket: null) => void) => {
    done(Object.assign(new Error('Connect Timeout Error'), { code: 'UND_ERR_CONNECT_TIMEOUT' }), null)
  }
  const cases = [
    { title: 'refused', url: gone.issuer, sent: false, says: /ECONNREFUSED/ },
    { title: 'no such host', url: 'http://idp.invalid', agent: { connect: { lookup } }, sent: false, says: /ENOTFOUND/ },
    { title: 'no connection in time', url: server.issuer, agent: { connect }, sent: false, says: /UND_ERR_CONNECT_TIMEOUT/ },
    { title: 'no TLS', url: `https://127.0.0.1:${plainPort}`, sent: false, says: /ERR_SSL|EPROTO/ },
    { title: 'reset before the processing', url: server.issuer, fault: faults.resetBefore(), sent: true, says: /UND_ERR_SOCKET|ECONNRESET/ },
    { title: 'reset after the processing', url: server.issuer, fault: faults.resetAfter(), sent: true, says: /UND_ERR_SOCKET|ECONNRESET/ },
    { title: 'no answer', url: server.issuer, fault: faults.silence(), timeout: 0.3, sent: true, says: /not within 0\.3 s/ },
    { title: 'half an answer', url: server.issuer, fault: faults.headersThenSilence(), timeout: 0.3, sent: true, says: /not within 0\.3 s/ },
    { title: 'an idle service, by the Agent\'s own time-out', url: server.issuer, fault: faults.silence(), agent: { headersTimeout: 20 }, sent: true, says: /UND_ERR_HEADERS_TIMEOUT/ }
  ]
  for (const { title, url, agent, fault, timeout = 10, sent, says } of cases) {
    const dispatcher = new Agent(agent)
    if (fault !== undefined) server.fault(fault)
    const error = await callBackchannel(dispatcher, timeout, `${url}/token`, { method: 'POST', headers: {}, body: 'a=b' })
      .then(() => t.fail(title), (error: unknown) => error)
    t.ok(error instanceof BackchannelError, title)
    t.match(error, { sent, cause: Error, message: says }, title)
    t.match(error, { message: `No answer from ${url}: ` }, 'it names the origin and no path')
    await dispatcher.destroy()
  }
})

test('what the Agent throws is an error of the backchannel, whatever it is', async (t) => {
  const dispatcher = new Agent({ connect: (_options, done) => { done(new Error('no code'), null) } })
  t.teardown(() => dispatcher.destroy())
  const call = callBackchannel(dispatcher, 10, 'http://127.0.0.1:1/x', { method: 'GET', headers: {} })
  await t.rejects(call, { name: 'BackchannelError', sent: false, message: 'No answer from http://127.0.0.1:1: no code' })

  const odd = new Agent({ connect: (_options, done) => { Reflect.apply(done, undefined, ['a text', null]) } })
  t.teardown(() => odd.destroy())
  await t.rejects(callBackchannel(odd, 10, 'http://127.0.0.1:1/x', { method: 'GET', headers: {} }), { name: 'BackchannelError' })
})

test('every header of the answer arrives, repeated ones too, and an empty body is none', async (t) => {
  const server = await start(t)
  const dispatcher = new Agent()
  t.teardown(() => dispatcher.destroy())
  server.fault(faults.answer(503, '', { 'retry-after': '5', 'x-a': '1' }))
  const answer = await callBackchannel(dispatcher, 10, `${server.issuer}/token`, { method: 'POST', headers: { accept: 'application/json' }, body: new URLSearchParams({ a: 'b c' }) })
  t.equal(answer.status, 503)
  t.match(Object.fromEntries(answer.headers), { 'retry-after': '5', 'x-a': '1' })
  t.equal(answer.body, null)
  t.equal(server.requests[0]?.body, 'a=b+c')
})

test('options that no undici Agent takes fail the boot', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  await t.rejects(startApp(t, server, JSON.parse('{ "backchannel": { "connect": 5 } }')), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /backchannel is not what an undici Agent takes/ })
})

test('F28 a dispatcher of an undici before 7, or none of any undici, fails the boot, by option and by decorator', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const issuer = { issuer: undefined, metadata: { issuer: server.issuer, token_endpoint: `${server.issuer}/token` } }
  const agents = { 5: new undici5.Agent(), '5, a pool': new undici5.Pool(server.issuer), 6: new undici6.Agent(), '6, a pool': new undici6.Pool(server.issuer), '6, a mock': new undici6.MockAgent(), none: { dispatch: () => true } }
  for (const [title, foreign] of Object.entries<Dispatcher>(Object(agents))) {
    const refused = { code: 'FST_TOKEN_INVALID_OPTIONS', message: /backchannel is no Dispatcher of undici 7 or later/, cause: Error }
    await t.rejects(startApp(t, server, { ...issuer, backchannel: foreign }), refused, `undici ${title}`)
    await t.rejects(startApp(t, server, { ...issuer, before: (app) => app.decorate('backchannel', foreign) }), refused, `undici ${title}, decorated`)
  }
  t.equal(server.connections, 0)
})

test('F28 a dispatcher of another copy of undici 7, composed or a mock, is taken', async (t) => {
  const server = await start(t)
  // As a class of its own: not instanceof the Dispatcher that lib imports.
  const foreignOf = (dispatcher: Dispatcher) => Object.setPrototypeOf({ dispatch: dispatcher.dispatch.bind(dispatcher), compose: dispatcher.compose }, EventEmitter.prototype)
  const mock = new MockAgent()
  mock.disableNetConnect()
  const agent = watchedAgent(t)
  const metadata = { issuer: server.issuer, token_endpoint: `${server.issuer}/token` }
  await startApp(t, server, { issuer: undefined, metadata, backchannel: foreignOf(mock) })
  const test = await startApp(t, server, { backchannel: foreignOf(agent.compose((dispatch) => (options, handler) => dispatch(options, handler))) })
  t.equal(await refreshAt(test, await test.login(), '/token'), 200)
})

test('R14 an answer that is no HTTP is in no error, nor in its causes', async (t) => {
  const broken = createServer((socket) => { socket.end('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{"access_token":"SECRET"}') }).listen(0, '127.0.0.1')
  t.teardown(() => broken.close())
  await once(broken, 'listening')
  const address = broken.address()
  const agent = new Agent()
  t.teardown(() => agent.close())
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/token`
  const error: unknown = await callBackchannel(agent, 5, url, { method: 'GET', headers: {} }).catch((reason: unknown) => reason)
  t.match(error, { name: 'BackchannelError', sent: true, cause: { name: 'HTTPParserError' } })
  t.notOk(inspect(error, { depth: 9, showHidden: true }).includes('SECRET'))
})
