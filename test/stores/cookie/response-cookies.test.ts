/* The response that sets the session: its headers have their last word where they are written. */
import { once } from 'node:events'
import { ServerResponse } from 'node:http'
import { connect, Socket } from 'node:net'
import { Readable } from 'node:stream'
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import { startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import type { Settings } from '../../support/authorization-server/settings.ts'
import type { Browser } from '../../support/browser.ts'
import { startApp, type TestAppOptions } from '../../support/start-app.ts'

const cacheable = {
  'cache-control': 'public, max-age=60',
  'cdn-cache-control': 'max-age=60',
  'cloudflare-cdn-cache-control': 'max-age=60',
  'surrogate-control': 'max-age=60',
  'edge-control': 'max-age=60',
  'x-accel-expires': '60'
}
const names = Object.keys(cacheable)

async function start (t: Test, { server: settings, ...options }: TestAppOptions & { server?: Partial<Settings> } = {}) {
  const server = await startAuthorizationServer({ expiresIn: 60, ...settings })
  t.teardown(() => server.close())
  return { server, ...await startApp(t, server, options) }
}

/** What an answer says to caches. */
const cachingOf = ({ headers }: { headers: Headers }) => names.map((name) => headers.get(name))
const everything = Object.values(cacheable)
const nothing = names.map((name) => name === 'cache-control' ? 'no-store' : null)

/** Each way to answer, with headers that let caches keep the answer, and two cookies of the app. */
const ways: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
  hook: (_request, reply) => { reply.header('set-cookie', ['first=1', 'second=2']); return { done: true } },
  stream: (_request, reply) => { reply.header('set-cookie', ['first=1', 'second=2']).headers(cacheable); return reply.send(Readable.from(['streamed'])) },
  error: (_request, reply) => { reply.header('set-cookie', ['first=1', 'second=2']); throw Object.assign(new Error('of the app'), { headers: cacheable }) },
  raw: (_request, reply) => {
    reply.raw.setHeader('set-cookie', 'first=1')
    reply.raw.setHeader('set-cookie', ['first=1', 'second=2'])
    return { done: true }
  },
  both: (_request, reply) => { reply.raw.setHeader('Set-Cookie', 'first=1'); reply.header('set-cookie', 'second=2'); return { done: true } }
}

/** The same past Fastify. */
const hijackedWays: Record<string, (reply: FastifyReply) => void> = {
  object: ({ raw }) => { raw.writeHead(200, { ...cacheable, 'Set-Cookie': ['first=1', 'second=2'], 'content-length': 4 }).end('done') },
  message: ({ raw }) => { raw.writeHead(200, 'Fine', { ...cacheable, 'set-cookie': ['first=1', 'second=2'] }).end('done') },
  list: ({ raw }) => { raw.writeHead(200, [...Object.entries(cacheable).flat(), 'set-cookie', 'first=1', 'set-cookie', 'second=2']).end('done') },
  implicit: ({ raw }) => {
    for (const [name, value] of Object.entries(cacheable)) raw.setHeader(name, value)
    raw.setHeader('set-cookie', ['first=1', 'second=2'])
    raw.write('do')
    raw.end('ne')
  }
}

function addWays (app: FastifyInstance): void {
  for (const [path, handler] of Object.entries(ways)) app.get(`/${path}`, handler)
  for (const [path, answer] of Object.entries(hijackedWays)) app.get(`/${path}`, (_request, reply) => { answer(reply.hijack()) })
  app.addHook('onSend', (_request, reply, _payload, done) => {
    reply.headers(cacheable)
    done()
  })
}

test('F52 R13 nobody makes a response cacheable that sets the session, in whatever way it is answered, and the app\'s own cookies stay', async (t) => {
  const { login, clock } = await start(t, { routes: addWays })
  for (const path of Object.keys(ways)) {
    const browser = await login()
    clock.now += 61
    const answer = await browser.get(`/${path}`)
    t.equal(answer.status, path === 'error' ? 500 : 200, path)
    t.match(answer.setCookies.toSorted(), [/^__Host-tokens=1\./, /^first=1/, /^second=2/], path)
    t.equal(answer.setCookies.length, 3)
    t.strictSame(cachingOf(answer), nothing, path)
    t.equal((await browser.get('/token')).status, 200)
  }
})

test('F52 a response that sets no session is as the app has made it, and so is one that is written past Fastify', async (t) => {
  const { login, clock } = await start(t, { routes: addWays })
  const browser = await login()
  for (const path of ['hook', 'stream', 'error', ...Object.keys(hijackedWays)]) {
    const answer = await browser.get(`/${path}`)
    t.strictSame(answer.setCookies, ['first=1', 'second=2'], path)
    t.strictSame(cachingOf(answer), everything, path)
  }
  for (const path of Object.keys(hijackedWays)) {
    const due = await login()
    clock.now += 61
    const answer = await due.get(`/${path}`)
    t.strictSame(answer.setCookies, ['first=1', 'second=2'], 'a logout may have come before it')
    t.strictSame(cachingOf(answer), everything, path)
    t.match((await due.get('/token')).setCookies, [/^__Host-tokens=1\./], 'the next response brings it')
  }
})

test('F52 where the headers cannot be written the first time, the session is set with those that can, once', async (t) => {
  const { login, clock } = await start(t, {
    routes: (app) => app.get('/twice', async (_request, reply) => {
      const { raw } = reply
      for (const [status, value] of [[200, 'a\nb'], [99, 'status'], [500, 'good']] as const) {
        try {
          raw.writeHead(status, { 'x-mine': value })
        } catch {}
      }
      raw.end()
      return reply
    })
  })
  const browser = await login()
  clock.now += 61
  const answer = await browser.get('/twice')
  t.equal(answer.status, 500)
  t.match(answer.setCookies, [/^__Host-tokens=1\./])
  t.equal(answer.setCookies.length, 1)
  t.equal(answer.headers.get('cache-control'), 'no-store')
})

test('a session that is set and then taken back leaves nothing on the response', async (t) => {
  const { login } = await start(t, {
    routes: (app) => app.get('/taken-back', async (request, reply) => {
      const context = { request, reply, provider: 'default' }
      const tokens = await app.tokenStore.get(context)
      if (tokens === null) throw new Error('nobody is logged in')
      await app.tokenStore.set(context, { ...tokens })
      await app.tokenStore.retract?.(context)
      return {}
    })
  })
  const { setCookies, headers } = await (await login()).get('/taken-back')
  t.strictSame(setCookies, [])
  t.equal(headers.get('cache-control'), null)
})

test('F35 the session\'s cookies have our attributes, whatever the app\'s @fastify/cookie makes of its own', async (t) => {
  const { login, clock, app } = await start(t, {
    before: (app) => app.register(fastifyCookie, { secret: 'of the app', parseOptions: { domain: 'example.com', path: '/app', sameSite: 'none', secure: false, httpOnly: false, signed: true, partitioned: true, maxAge: 5, encode: () => 'encoded' } }),
    routes: (app) => { app.post('/clear', async (request) => { await request.tokens.clear() }) }
  })
  const browser = await login()
  clock.now += 61
  const own = '; Path=/; HttpOnly; Secure; SameSite=Lax'
  t.match((await browser.get('/token')).setCookies, [new RegExp(`^__Host-tokens=1\\.[\\w.-]+; Max-Age=86400${own}$`)])
  t.equal((await browser.get('/token')).status, 200)
  const { headers } = await app.inject({ method: 'POST', url: '/clear', headers: { cookie: browser.header } })
  t.strictSame(headers['set-cookie'], ['', '.0', '.1'].map((end) => `__Host-tokens${end}=; Max-Age=0${own}`))
})

test('session.cookie.partitioned is on the cookie and on its deletion', async (t) => {
  const { app } = await start(t, {
    session: { key: Buffer.alloc(32, 'k'), cookie: { sameSite: 'none', partitioned: true } },
    routes: (app) => { app.post('/clear', async (request) => { await request.tokens.clear() }) }
  })
  const own = /; Path=\/; HttpOnly; Secure; Partitioned; SameSite=None$/
  const saved = await app.inject({ method: 'POST', url: '/save', payload: { access_token: 'x', token_type: 'Bearer' } })
  t.match(saved.headers['set-cookie'], own)
  for (const cookie of [(await app.inject({ method: 'POST', url: '/clear' })).headers['set-cookie'] ?? []].flat()) t.match(cookie, own)
})

/** A WebSocket handshake as a browser makes it; what comes back before the frames. */
async function shakeHands (browser: Browser, path: string, upgrade = 'websocket'): Promise<string> {
  const socket = connect(Number(new URL(browser.origin).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write([`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: Upgrade', `Upgrade: ${upgrade}`, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', `Cookie: ${browser.header}`, '', ''].join('\r\n'))
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** What plugins for WebSockets do: the handshake runs through the routes, and its answer past the reply. `GET /ws` says its token. */
function acceptUpgrades (app: FastifyInstance): void {
  app.server.on('upgrade', (message, socket) => {
    const response = new ServerResponse(message)
    if (socket instanceof Socket) response.assignSocket(socket)
    response.once('finish', () => { socket.end() })
    app.routing(message, response)
  })
  app.get('/ws', { onRequest: app.requireAccessToken }, async (request, reply) => {
    const token = await request.accessToken()
    reply.hijack()
    request.raw.socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${token}`)
  })
}

test('F51 a WebSocket handshake spends nothing while the session is in a cookie: the valid token serves, and an expired one is an error of its own', async (t) => {
  const { server, login, clock } = await start(t, { server: { expiresIn: 300 }, routes: acceptUpgrades })
  const browser = await login()
  const { token } = (await browser.get('/token')).json
  t.match(await shakeHands(browser, '/ws'), new RegExp(`^HTTP/1.1 101[^]*${token}$`))
  clock.now += 250
  t.match(await shakeHands(browser, '/ws', 'WebSocket'), new RegExp(`^HTTP/1.1 101[^]*${token}$`), 'it is due, and still good')
  clock.now += 51
  const refused = await shakeHands(browser, '/ws')
  t.match(refused, /^HTTP\/1.1 409 [^]*FST_TOKEN_UPGRADE/)
  t.notMatch(refused, /set-cookie/i)
  t.equal(server.refreshes, 0)
  t.equal((await browser.get('/token')).status, 200, 'an ordinary request refreshes')
  t.match(await shakeHands(browser, '/ws'), /^HTTP\/1.1 101/)
  t.equal(server.refreshes, 1)
  t.match(await shakeHands(browser.clone(), '/nothing'), /^HTTP\/1.1 404/)
})
