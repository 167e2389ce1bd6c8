/* What pages of the app, of a sibling subdomain and of another site can do, in a browser. */
import websocket from '@fastify/websocket'
import { readFileSync } from 'node:fs'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import tokenManagement, { type TokenManagementOptions } from '../../lib/index.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { startChromium, whyNotChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { sessionKey } from '../support/start-app.ts'

const skip = whyNotChromium()
t.setTimeout(120_000)

interface Site {
  readonly server: AuthorizationServer
  readonly origin: string
  /** What got through the guard, and what came at all with the session cookie. */
  readonly passed: string[]
  readonly came: string[]
  readonly page: Page
  /** Pages of a sibling subdomain, and of another site. */
  readonly sibling: string
  readonly elsewhere: string
}

/** An app at a subdomain of a site of its own, which Chromium finds on loopback. */
async function startSite (t: Test, build: (app: FastifyInstance, options: TokenManagementOptions) => Promise<unknown>): Promise<Site> {
  const port = await freePort()
  const origin = `http://app.shop.localhost:${port}`
  const callbackUri = `${origin}/auth/callback`
  const server = await startAuthorizationServer({ dpop: false, redirectUris: [callbackUri] })
  const [app, others] = [Fastify({ forceCloseConnections: true }), Fastify({ forceCloseConnections: true })]
  const chromium = await startChromium()
  t.teardown(async () => { await Promise.all([chromium.close(), app.close(), others.close(), server.close()]) })
  const passed: string[] = []
  const came: string[] = []
  app.addHook('onRequest', async ({ method, url, headers }) => { if (headers.cookie?.includes('tokens=')) came.push(`${method} ${url}`) })
  app.addHook('preHandler', async ({ method, url, routeOptions }) => { if (routeOptions.url !== undefined) passed.push(`${method} ${url}`) })
  app.addContentTypeParser('*', (_request, _payload, done) => { done(null) })
  await app.register(websocket)
  await build(app, {
    issuer: server.issuer,
    clientId: server.settings.clientId,
    clientSecret: server.settings.clientSecret,
    session: { key: sessionKey },
    login: { callbackUri, scope: ['openid', 'offline_access'] },
    logout: { postLogoutRedirectUri: `${origin}/` }
  })
  app.get('/', async (_request, reply) => await reply.type('text/html').send('<title>The app</title>'))
  app.get('/events', { onRequest: app.requireCsrfHeader }, async (_request, reply) => await reply.type('text/event-stream').send('data: hello\n\n'))
  app.get('/live', { websocket: true, onRequest: app.requireCsrfHeader }, (socket) => { socket.send('hello') })
  await app.listen({ port, host: '127.0.0.1' })
  others.get('/', async (_request, reply) => await reply.type('text/html').send('<title>Not the app</title>'))
  const { port: otherPort } = new URL(await others.listen({ port: 0, host: '127.0.0.1' }))
  const page = await (await chromium.newContext()).newPage()
  page.setDefaultTimeout(20_000)
  return { server, origin, passed, came, page, sibling: `http://evil.shop.localhost:${otherPort}/`, elsewhere: `http://evil.localhost:${otherPort}/` }
}

/** `/guarded` by fetch and form, `/events` and `/live`: by whatever a page can try. What each came to, as the page sees it. */
async function attempts (page: Page, origin: string): Promise<Record<string, unknown>> {
  return await page.evaluate(async (origin: string) => {
    const fetched = async (init: RequestInit) => await fetch(`${origin}/guarded`, { credentials: 'include', ...init }).then(({ status }) => status, () => 'blocked')
    return {
      withHeader: await fetched({ method: 'POST', headers: { 'x-csrf': '1' } }),
      withoutHeader: await fetched({ method: 'POST', mode: 'no-cors' }),
      readOnly: await fetched({ mode: 'no-cors' }),
      session: await fetch(`${origin}/auth/session`, { credentials: 'include' }).then(async (answer) => Object(await answer.json()).claims.sub, () => 'blocked'),
      events: await new Promise((resolve) => {
        const events = new EventSource(`${origin}/events`, { withCredentials: true })
        events.onmessage = ({ data }) => { events.close(); resolve(data) }
        events.onerror = () => { events.close(); resolve('blocked') }
      }),
      socket: await new Promise((resolve) => {
        const socket = new WebSocket(`${origin.replace('http', 'ws')}/live`)
        socket.onmessage = ({ data }) => { socket.close(); resolve(data) }
        socket.onerror = () => { resolve('blocked') }
      })
    }
  }, origin)
}

const guarded = async (app: FastifyInstance, options: TokenManagementOptions) => {
  await app.register(tokenManagement, { ...options, bff: { session: true } })
  app.route({ method: ['GET', 'POST'], url: '/guarded', onRequest: app.requireCsrfHeader, handler: () => ({}) })
  app.get('/form', async (_request, reply) => await reply.type('text/html').send('<title>A form</title><form method="post" action="/orders"><button>Order</button></form>'))
  app.route({ method: ['GET', 'POST'], url: '/orders', config: { tokens: { required: 'login' } }, handler: async (_request, reply) => await reply.type('text/html').send('<title>The orders</title>') })
}

t.test('R44 in a browser, pages of the app get through, EventSource and WebSocket included', { skip }, async (t) => {
  const { page, origin } = await startSite(t, guarded)
  await page.goto(`${origin}/auth/login`)
  t.equal(await page.title(), 'The app')
  t.strictSame(await attempts(page, origin), { withHeader: 200, withoutHeader: 403, readOnly: 200, session: 'alice', events: 'hello', socket: 'hello' })
})

for (const where of ['sibling', 'elsewhere'] as const) {
  t.test(`R44 in a browser, nothing gets through from ${where === 'sibling' ? 'a sibling subdomain, with which the cookie comes along' : 'another site'}`, { skip }, async (t) => {
    const { page, origin, passed, came, [where]: evil } = await startSite(t, guarded)
    await page.goto(`${origin}/auth/login`)
    await page.goto(evil)
    passed.length = came.length = 0
    const { withoutHeader, readOnly, ...seen } = await attempts(page, origin)
    t.strictSame([withoutHeader, readOnly], [0, 0], 'sent, and what was answered is not for this page')
    t.strictSame(seen, { withHeader: 'blocked', session: 'blocked', events: 'blocked', socket: 'blocked' })
    await page.setContent(`<form method="post" action="${origin}/guarded"><button>Win</button></form><img src="${origin}/guarded">`)
    await page.click('button')
    await page.waitForURL(`${origin}/guarded`)
    t.match(await page.textContent('body'), /FST_TOKEN_CROSS_SITE/)
    t.strictSame(passed, [])
    if (where === 'sibling') for (const one of ['POST /guarded', 'GET /guarded', 'GET /auth/session', 'GET /events', 'GET /live']) t.ok(came.includes(one), `${one} came with the cookie`)
  })
}

t.test('in a browser, required: \'login\' sends a navigation to the login and back to its page, and a form back to its own', { skip }, async (t) => {
  const { page, origin } = await startSite(t, guarded)
  await page.goto(`${origin}/form?id=7`)
  t.equal(await page.evaluate(async () => (await fetch('/orders')).status), 401)
  t.equal(await page.evaluate(async () => Object(await (await fetch('/orders')).json()).loginPath), '/auth/login')
  await page.click('button')
  await page.waitForURL(`${origin}/form?id=7`)
  await page.click('button')
  t.equal(await page.title(), 'The orders', 'logged in by now')
  await page.context().clearCookies()
  await page.goto(`${origin}/orders?page=2&q=%C3%A4`)
  t.strictSame([page.url(), await page.title()], [`${origin}/orders?page=2&q=%C3%A4`, 'The orders'])
})

t.test('the snippets of docs/spa.md run as they stand, in an app and in its page', { skip }, async (t) => {
  const doc = readFileSync('docs/spa.md', 'utf8')
  const snippets = (language: string) => [...doc.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, snippet = '']) => snippet)
  const [who, slide, logIn, call, logOut, live, ...others] = snippets('js')
  t.strictSame(others, [])
  const folder = t.testdir({ 'app.js': `export default async (app, tokenManagement, options) => {\n${snippets('ts').join('\n').replaceAll(/^import .*$/gm, '')}\n}\n` })
  const { default: build } = await import(`${folder}/app.js`)
  const { page, origin, passed } = await startSite(t, async (app, options) => { await build(app, tokenManagement, options) })
  const inPage = async (code: string): Promise<unknown> => await page.evaluate(`(async () => {\n${code}\n})()`)

  await page.goto(origin)
  t.match(await inPage(`${who}; return [answer.status, session]`), [401, { loginPath: '/auth/login' }])
  await page.goto(`${origin}/?page=2`)
  await inPage(`window.isBefore = true; ${logIn}; logIn('/auth/login')`)
  await page.waitForFunction('window.isBefore === undefined && document.readyState === "complete"')
  t.equal(page.url(), `${origin}/?page=2`)
  t.match(await inPage(`${who}; return [answer.status, session]`), [200, { claims: { sub: 'alice' }, expiresIn: Number, loginPath: '/auth/login', logoutPath: '/auth/logout' }])
  t.equal(await inPage(`${slide}; return isAboutToEnd`), false)
  t.strictSame(await inPage(`${logIn}; ${call}; return await (await call('/orders', { method: 'POST' })).json()`), { ordered: true, with: true })
  t.strictSame(await inPage(`${live}; return await Promise.all([events, socket].map((each) => new Promise((resolve) => { each.onmessage = ({ data }) => { each.close(); resolve(data) } })))`), ['hello', 'hello'])
  await page.goto(`${origin}/account`)
  t.equal(await page.title(), 'Your account')
  await Promise.all([page.waitForURL(`${origin}/`), inPage(`${logOut}; await logOut('/auth/logout')`)])
  t.match(await inPage(`${who}; return answer.status`), 401)
  await Promise.all([page.waitForURL(`${origin}/account`), page.goto(`${origin}/account`)])
  t.equal(await page.title(), 'Your account', 'by the login')
  t.ok(passed.includes('POST /orders'))
})
