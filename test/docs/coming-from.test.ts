import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { checkOptions } from '../../lib/options/check.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize } from '../support/login-flow.ts'
import { sessionKey } from '../support/start-app.ts'
import { blocksOf } from './blocks.ts'

const snippetsOf = (name: string) => blocksOf(`docs/coming-from-${name}.md`).filter(({ language }) => language === 'ts').map(({ text }) => text)

/** Runs a snippet on an app, or on one of its own, with an API that says whose token it got. */
async function start (t: Test, snippet: string) {
  const server = await startAuthorizationServer({ expiresIn: 300 })
  t.teardown(() => server.close())
  const api = Fastify({ forceCloseConnections: true })
  api.get('/orders', async ({ headers }) => ({ of: server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '')?.sub ?? 'nobody' }))
  t.teardown(() => api.close())
  const address = 'http://127.0.0.1:3000'
  Object.assign(process.env, {
    ISSUER: server.issuer,
    ISSUER_BASE_URL: server.issuer,
    CLIENT_ID: server.settings.clientId,
    CLIENT_SECRET: server.settings.clientSecret,
    SESSION_KEY: sessionKey,
    APP_URL: address,
    BASE_URL: address,
    API: await api.listen()
  })
  const app = Fastify({ forceCloseConnections: true })
  Object.assign(globalThis, { app })
  const file = join(t.testdir(), `${new URL(server.issuer).port}.ts`)
  writeFileSync(file, `${snippet.replace('\'fastify-token-management\'', `'${new URL('../../lib/index.ts', import.meta.url).href}'`)}\nexport const running = app\n`)
  const { running }: { running: FastifyInstance } = await import(file)
  t.teardown(() => running.close())
  return { server, browser: new Browser(await running.listen({ port: 0, host: '127.0.0.1' })) }
}

/** Where the login of both is, and the callback that is registered. */
async function logIn (browser: Browser): Promise<number> {
  const { headers } = await browser.get('/login')
  return (await browser.get(await authorize(new URL(headers.get('location') ?? '')))).status
}

test('what docs/coming-from-fastify-oauth2.md replaces and what it is replaced by log in at the same addresses, and differ when ten requests come with an expired token', async (t) => {
  const [, before = '', after = ''] = snippetsOf('fastify-oauth2')
  for (const [snippet, refreshes, alive] of [[before, 10, false], [after, 1, true]] as const) {
    const { server, browser } = await start(t, snippet)
    t.equal((await browser.get('/orders')).status, 401)
    server.fault(faults.members({ expires_in: 0 }))
    t.ok([302, 303].includes(await logIn(browser)))
    const answers = await Promise.all(Array.from({ length: 10 }, async () => (await browser.clone().get('/orders')).json))
    t.equal(server.refreshes, refreshes)
    t.equal(answers.every(({ of }) => of === 'alice'), alive)
  }
})

test('what docs/coming-from-express-openid-connect.md ends with sends a browser to the login, and calls the API', async (t) => {
  const { server, browser } = await start(t, snippetsOf('express-openid-connect')[1] ?? '')
  t.equal(new URL((await browser.get('/orders', { accept: 'text/html' })).headers.get('location') ?? '').origin, new URL(server.issuer).origin)
  t.equal(await logIn(browser), 303)
  t.strictSame((await browser.get('/orders')).json, { of: 'alice' })
  t.equal((await browser.post('/logout')).status, 200)
})

test('what docs/coming-from-duende-bff.md registers is valid, and leaves the addresses as they were', async (t) => {
  const [snippet = ''] = snippetsOf('duende-bff')
  const [object = ''] = /(?<=register\(tokenManagement, )\{[^]*?\n\}(?=\))/.exec(snippet) ?? []
  const factory = () => () => ({})
  const options = Reflect.construct(Function, ['app', 'process', 'redisTokenStore', 'redisRefreshCoordinator', `return ${object}`])({}, { env: { AUTHORITY: 'https://idp.example.com', CLIENT_SECRET: 'x', SESSION_KEY: sessionKey } }, factory, factory)
  const checked = checkOptions(options, { secureSession: false, tokenStore: 'nobody', session: false, onRequest: () => false, names: [], clients: [] })
  t.match([checked.login?.startRedirectPath, checked.logout?.path, checked.logout?.backchannelLogoutPath, checked.bff.session], ['/bff/login', '/bff/logout', '/bff/backchannel', { path: '/bff/user' }])
})
