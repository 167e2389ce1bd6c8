import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import Fastify from 'fastify'
import t from 'tap'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { logIn } from '../support/login-flow.ts'
import { startRedis, whyNotRedis } from '../support/redis-server.ts'
import { sessionKey } from '../support/start-app.ts'
import { openSocket } from '../support/web-socket.ts'

const page = readFileSync('docs/server-side-sessions.md', 'utf8')
const snippets = [...page.matchAll(/```ts\n([^]*?)```/g)].map(([, snippet = '']) => snippet)

/** Runs all snippets on one app, in the order of the page. */
const runner = `
import Fastify from 'fastify'
const { ISSUER: issuer, SESSION_KEY: key, CLIENT_SECRET: clientSecret, PORT: port } = process.env
const app = Fastify({ forceCloseConnections: true })
const callbackUri = \`http://127.0.0.1:\${port}/auth/callback\`
const options = { issuer, clientId: 'web', clientSecret, session: { key }, login: { callbackUri, scope: ['openid', 'offline_access'] } }
Object.assign(globalThis, { app, options })
for (const snippet of process.argv.slice(2)) await import(snippet)
console.log(await app.listen({ port: Number(port), host: '127.0.0.1' }))
`

t.test('every snippet of the page on sessions on the server runs as it stands: a job, a WebSocket, a logout everywhere and an admin\'s list', { skip: whyNotRedis(), timeout: 60_000 }, async (t) => {
  t.equal(snippets.length, 5)
  const folder = t.testdir({ ...Object.fromEntries(snippets.map((snippet, index) => [`snippet-${index}.ts`, snippet])), 'runner.ts': runner })
  const redis = await startRedis(t)
  const server = await startAuthorizationServer({ expiresIn: 300 })
  t.teardown(() => server.close())
  const api = Fastify({ forceCloseConnections: true })
  api.get('/orders', async ({ headers }) => ({ of: server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '')?.sub }))
  t.teardown(() => api.close())
  const app = spawn(process.execPath, ['--import', 'tsx', `${folder}/runner.ts`, ...snippets.map((_, index) => `${folder}/snippet-${index}.ts`)], {
    env: { ...process.env, NODE_OPTIONS: '', ISSUER: server.issuer, CLIENT_SECRET: server.settings.clientSecret, SESSION_KEY: sessionKey, REDIS_URL: redis.url, API: await api.listen(), PORT: String(await freePort()) },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    app.kill()
    if (app.exitCode === null) await once(app, 'exit')
  })
  let origin = ''
  for await (const line of createInterface(app.stdout)) {
    origin = line
    if (line.startsWith('http')) break
  }
  const enter = async (user: string) => {
    server.settings.user = user
    const browser = new Browser(origin)
    t.equal((await logIn(browser)).status, 303)
    return browser
  }

  const alice = await enter('alice')
  t.strictSame((await alice.post('/reports')).json, { begun: true })
  t.equal((await new Browser(origin).post('/work')).text, '[{"of":"alice"}]', 'without her browser')

  const socket = await openSocket(alice, '/prices')
  t.equal(await socket.ask('prices?'), '{"of":"alice"}')
  socket.close()

  const admin = await enter('the admin')
  t.equal((await alice.get('/admin/users/alice/sessions')).status, 403)
  const second = await enter('alice')
  const listed: Array<{ sessionId: string, since: string }> = JSON.parse((await admin.get('/admin/users/alice/sessions')).text)
  t.equal(listed.length, 2)
  t.ok(listed.every(({ since }) => Math.abs(Date.parse(since) - Date.now()) < 60_000))
  t.equal((await second.post('/reports')).status, 200)
  for (const { sessionId } of listed) t.strictSame((await admin.send('DELETE', `/admin/sessions/${sessionId}`, {})).json, { ended: 1 })
  t.equal((await new Browser(origin).post('/work')).text, '["the user has logged out"]')
  const [third, fourth] = [await enter('alice'), await enter('alice')]
  t.strictSame((await third.post('/logout-everywhere')).json, { ended: 2 })
  for (const browser of [third, fourth]) t.equal((await browser.post('/logout-everywhere')).status, 401)
  t.equal((await admin.get('/admin/users/alice/sessions')).text, '[]')
})
