import { once } from 'node:events'
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import { test } from 'tap'
import tokenManagement from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { freePort } from '../support/free-port.ts'
import { sessionKey } from '../support/start-app.ts'

/** One connection, as a browser has it: it sends each cookie as a field of its own (RFC 9113 §8.2.3). */
class Http2Browser {
  readonly #connection: ClientHttp2Session
  readonly #cookies = new Map<string, string>()

  constructor (connection: ClientHttp2Session) {
    this.#connection = connection
  }

  async send (path: string, headers: Record<string, string> = {}) {
    const stream = this.#connection.request({ ':path': path, cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`), ...headers })
    stream.end()
    const [answer]: IncomingHttpHeaders[] = await once(stream, 'response')
    for (const cookie of answer?.['set-cookie'] ?? []) this.#keep(cookie)
    return { status: answer?.[':status'], location: answer?.location ?? '', body: await text(stream) }
  }

  #keep (cookie: string): void {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
    if (/Max-Age=0/.test(cookie)) this.#cookies.delete(name)
    else this.#cookies.set(name, value)
  }
}

test('an app on HTTP/2 guards its routes, logs in, refreshes once for parallel requests, and logs out', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  const clock = { now: Date.now() / 1000 }
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  const { issuer, settings: { clientId, clientSecret } } = server
  const login = { callbackUri: `${origin}/auth/callback`, scope: ['openid', 'offline_access'] }
  await app.register(tokenManagement, { issuer, clientId, clientSecret, session: { key: sessionKey }, login, clock: () => clock.now })
  app.get('/token', { onRequest: app.requireAccessToken }, async (request) => await request.accessToken())
  app.get('/config', { config: { tokens: { required: true } } }, async (request) => await request.tokens.claims())
  app.post('/order', { onRequest: [app.requireCsrfHeader, app.requireAccessToken] }, async () => 'ordered')
  await app.listen({ port, host: '127.0.0.1' })
  const connection = connect(origin)
  t.teardown(() => connection.close())
  const browser = new Http2Browser(connection)

  t.equal((await browser.send('/token')).status, 401)
  t.equal((await browser.send('/config')).status, 401)
  const start = await browser.send('/auth/login?returnTo=/token')
  t.equal(start.status, 303)
  const atProvider = await fetch(start.location, { redirect: 'manual' })
  const back = new URL(atProvider.headers.get('location') ?? '')
  t.equal((await browser.send(back.pathname + back.search)).location, '/token')
  const { body: token } = await browser.send('/token')
  t.equal(server.whoHas(token)?.sub, 'alice')
  t.match(JSON.parse((await browser.send('/config')).body), { sub: 'alice' })

  clock.now += 61
  const answers = await Promise.all(Array.from({ length: 5 }, async () => await browser.send('/token')))
  t.equal(server.refreshes, 1)
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ body }) => body)).size, 1)
  t.not(answers[0]?.body, token)

  const post = { ':method': 'POST', 'sec-fetch-site': 'same-origin', origin }
  t.equal((await browser.send('/order', post)).status, 403)
  t.equal((await browser.send('/order', { ...post, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'x-csrf': '1' })).status, 403)
  t.equal((await browser.send('/order', { ...post, 'x-csrf': '1' })).body, 'ordered')
  t.equal((await browser.send('/auth/logout', { ...post, accept: 'application/json' })).status, 200)
  t.equal((await browser.send('/token')).status, 401)
})
