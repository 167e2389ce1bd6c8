import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import cookie10 from 'cookie10'
import cookie1101 from 'cookie1101'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { test } from 'tap'
import { logIn, startLoginApp } from '../../support/login-flow.ts'

for (const [version, plugin] of Object.entries({ '10.0.1': cookie10, '11.0.1': cookie1101 })) {
  test(`F27 an app with @fastify/cookie ${version} logs in, is served, refreshes and logs out`, async (t) => {
    const before = async (app: FastifyInstance) => { await app.register(plugin, { secret: 'of the app' }) }
    const routes = (app: FastifyInstance) => { app.get('/cookies', (request) => request.cookies) }
    const { server, browser, clock } = await startLoginApp(t, { before, routes, server: { expiresIn: 60 } })
    browser.cookies.set('of-the-app', 'a%20b')
    t.equal((await browser.get('/optional')).status, 200, 'with a cookie, and nobody logged in')
    t.equal((await logIn(browser)).status, 303)
    t.equal((await browser.get('/token')).status, 200)
    clock.now += 61
    t.equal((await browser.get('/token')).status, 200)
    t.equal(server.refreshes, 1)
    t.match((await browser.get('/cookies')).json, { 'of-the-app': 'a b' })
    t.equal((await browser.post('/auth/logout')).status, 200)
    t.notOk([...browser.cookies.keys()].some((name) => name.startsWith('tokens')), 'the session is gone')
  })
}

test('an @fastify/cookie that was made for an earlier Fastify is refused at boot, by Fastify', async (t) => {
  const cookie9: FastifyPluginAsync = createRequire(import.meta.url)('cookie9')
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await t.rejects(async () => await app.register(cookie9), { code: 'FST_ERR_PLUGIN_VERSION_MISMATCH', message: /@fastify\/cookie - expected '4\.x' fastify version/ })
})

test('F27 nothing of lib calls @fastify/cookie itself: since 11.1 its functions work only where that very copy is registered', async (t) => {
  const lib = join(import.meta.dirname, '../../../lib')
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  t.ok(files.length > 50, 'there are files to judge')
  t.strictSame(files.filter((name) => /import (?!type ).*'@fastify\/cookie'/.test(readFileSync(join(lib, name), 'utf8'))), [])
})
