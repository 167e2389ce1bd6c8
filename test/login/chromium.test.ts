import { readFileSync } from 'node:fs'
import helmet from '@fastify/helmet'
import type { Browser as Chromium, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { TokenManagementOptions } from '../../lib/index.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Gate } from '../../lib/testing/provider/gate.ts'
import { startChromium, whyNotChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { startRealProvider } from '../support/real-provider.ts'
import { startApp, type TestApp, type TestAppOptions } from '../support/start-app.ts'

const skip = whyNotChromium()

t.setTimeout(120_000)

interface BrowsedApp extends TestApp {
  readonly server: AuthorizationServer
}

/** An app whose callback a browser really comes to; `/page` is a page of it, with a button to log out. */
async function startBrowsedApp (t: Test, { login, ...options }: TestAppOptions & { login?: Partial<NonNullable<TokenManagementOptions['login']>> } = {}, settings = {}): Promise<BrowsedApp> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  const port = await freePort()
  const app = await startApp(t, server, {
    port,
    login: { callbackUri: `http://127.0.0.1:${port}/auth/callback`, scope: ['openid', 'offline_access'], ...login },
    logout: { postLogoutRedirectUri: `http://127.0.0.1:${port}/bye` },
    routes: pages,
    ...options
  })
  return { ...app, server }
}

/** That of docs/login.md. */
const [form = ''] = /(?<=```html\n)[^]*?(?=```)/.exec(readFileSync('docs/login.md', 'utf8')) ?? []

function pages (app: TestApp['app']): void {
  app.get('/*', async (request, reply) => {
    const token = await request.accessToken({ optional: true })
    return reply.type('text/html').send(`<title>${request.url}</title><p id="who">${token === null ? 'nobody' : 'somebody'}</p>${form}`)
  })
}

async function open (t: Test): Promise<{ chromium: Chromium, page: Page }> {
  const chromium = await startChromium()
  t.teardown(() => chromium.close())
  const page = await (await chromium.newContext()).newPage()
  page.setDefaultTimeout(20_000)
  return { chromium, page }
}

const who = async (page: Page) => await page.locator('#who').textContent()

t.test('F29 two tabs log in at once at a real provider whose grant the second login uses again, and both have their token refreshed', { skip }, async (t) => {
  const port = await freePort()
  const callbackUri = `http://127.0.0.1:${port}/auth/callback`
  // Both are on their way before either is back.
  const gate = new Gate()
  const provider = await startRealProvider(t, { callbackUri, registration: { token_endpoint_auth_method: 'client_secret_basic' }, reusesGrants: true })
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const { origin, clock } = await startApp(t, server, {
    port,
    issuer: provider.issuer,
    clientId: provider.client.id,
    clientSecret: provider.client.secret,
    dpop: false,
    login: { callbackUri, scope: ['openid', 'offline_access'] },
    routes: pages,
    // A redirect from there, so that each tab comes back with the cookies that the browser has by then.
    before: (app) => app.addHook('onRequest', async ({ url }, reply) => {
      if (!url.startsWith('/auth/callback') || url.endsWith('&held')) return
      await gate.pass()
      return reply.redirect(`${url}&held`)
    })
  })
  const { page: first } = await open(t)
  const second = await first.context().newPage()
  const visits = [first.goto(`${origin}/auth/login?returnTo=/first`)]
  await gate.arrived(1)
  visits.push(second.goto(`${origin}/auth/login?returnTo=/second`))
  await gate.arrived(2)
  gate.admit(1)
  await visits[1]
  gate.release()
  await Promise.all(visits)
  t.strictSame([new URL(first.url()).pathname, new URL(second.url()).pathname], ['/first', '/second'])
  for (const [tab, page] of [first, second, first, second].entries()) {
    clock.now += 61
    await page.reload()
    t.equal(await who(page), 'somebody', `${tab}`)
  }
  t.strictSame(provider.tokenRequests().map(({ status }) => status), [200, 200, 200, 200, 200, 200])
})

t.test('F30 F31 a callback that is opened twice, reloaded, or come back to ends in the app', { skip }, async (t) => {
  const { origin, server } = await startBrowsedApp(t)
  const { page } = await open(t)
  const callbacks: string[] = []
  page.on('request', (request) => { if (request.url().includes('/auth/callback?')) callbacks.push(request.url()) })
  await page.goto(`${origin}/auth/login?returnTo=/page`)
  t.equal(await who(page), 'somebody')
  t.equal(callbacks.length, 1)

  await page.goto(callbacks[0] ?? '')
  t.match([new URL(page.url()).pathname, await who(page)], ['/', 'somebody'], 'as by the back button, or typed again')
  await page.goto('about:blank')
  await page.goBack()
  t.equal(await who(page), 'somebody')

  const earlier = callbacks.length
  const gate = server.hold()
  await page.context().clearCookies()
  const twin = await page.context().newPage()
  const going = page.goto(`${origin}/auth/login?returnTo=/restored`)
  await gate.arrived()
  while (callbacks.length === earlier) await twin.waitForTimeout(20)
  const twice = twin.goto(callbacks.at(-1) ?? '')
  await twin.waitForTimeout(200)
  gate.release()
  await Promise.all([going, twice])
  t.match([new URL(page.url()).pathname, await who(page)], ['/restored', 'somebody'])
  t.match([new URL(twin.url()).pathname, await who(twin)], ['/restored', 'somebody'])
  t.equal(server.codeExchanges, 2, 'one each time')
  t.ok(server.families.every(({ alive }) => alive))
})

t.test('F31 F32 the page of a failed login tells what happened in light and dark, and its link leads on', { skip }, async (t) => {
  const { origin, server } = await startBrowsedApp(t)
  const { page } = await open(t)
  server.fault(faults.empty(503))
  await page.goto(`${origin}/auth/login?returnTo=/page`)
  t.match(await page.textContent('h1'), 'Not yet logged in')
  await page.getByRole('link', { name: 'Try again' }).click()
  t.match([new URL(page.url()).pathname, await who(page)], ['/page', 'somebody'])

  await page.context().clearCookies()
  server.settings.loginError = 'access_denied'
  const violations: string[] = []
  page.on('console', (message) => { violations.push(message.text()) })
  await page.goto(`${origin}/auth/login?returnTo=/page`)
  t.match(await page.textContent('main'), /cancelled.*FST_TOKEN_LOGIN_FAILED: access_denied/s)
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    const [ground, text] = await page.evaluate('[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]') as string[]
    t.not(ground, text)
    t.not(ground, 'rgba(0, 0, 0, 0)', 'its own style is let through by its own policy')
  }
  await page.setViewportSize({ width: 390, height: 800 })
  t.equal(await page.evaluate('document.documentElement.scrollWidth <= 390'), true)
  t.strictSame(violations.filter((text) => text.includes('Content Security Policy')), [])
  server.settings.loginError = null
  await page.getByRole('link', { name: 'Log in again' }).click()
  t.match([new URL(page.url()).pathname, await who(page)], ['/page', 'somebody'])
})

t.test('F33 a returnTo of 5,000 characters ends on its page, and not on another login\'s', { skip }, async (t) => {
  const { origin } = await startBrowsedApp(t)
  const { page } = await open(t)
  await page.context().request.get(`${origin}/auth/login?returnTo=/left`, { maxRedirects: 0 })
  const path = `/search?q=${encodeURIComponent('обучение '.repeat(60))}`
  await page.goto(`${origin}/auth/login?returnTo=${encodeURIComponent(path)}`)
  t.equal(page.url(), origin + path)
  await page.goto(`${origin}/auth/login?returnTo=${encodeURIComponent(`/page?${Array.from({ length: 900 }, (_, index) => (index * 7919).toString(36)).join('&')}`)}`)
  t.equal(new URL(page.url()).pathname, '/page')
})

t.test('F36 where the session\'s cookies are None, those of a login are too, and the browser brings them back', { skip }, async (t) => {
  const { origin } = await startBrowsedApp(t, { session: { key: 'A'.repeat(43), cookie: { sameSite: 'none', secure: true } } })
  const { page } = await open(t)
  await page.context().request.get(`${origin}/auth/login`, { maxRedirects: 0 })
  t.match(await page.context().cookies(origin), [{ name: /^__Host-login-/, sameSite: 'None', secure: true }])
  await page.goto(`${origin}/auth/login?returnTo=/page`)
  t.equal(await who(page), 'somebody')
})

t.test('F38 F39 a logout by form and one by fetch reach the provider under the defaults of @fastify/helmet', { skip }, async (t) => {
  const { origin, server } = await startBrowsedApp(t, {
    before: async (app) => { await app.register(helmet) }
  })
  const { page } = await open(t)
  const blocked: string[] = []
  page.on('console', (message) => { if (message.text().includes('Content Security Policy')) blocked.push(message.text()) })
  for (const how of ['form', 'fetch']) {
    server.forgetRequests()
    await page.goto(`${origin}/auth/login?returnTo=/page`)
    t.equal(await who(page), 'somebody')
    if (how === 'form') await page.getByRole('button', { name: 'Log out' }).click()
    else {
      await page.evaluate(`fetch('/auth/logout', { method: 'POST', headers: { accept: 'application/json' } })
        .then((response) => response.json()).then(({ redirectTo }) => { location.assign(redirectTo) })`)
    }
    await page.waitForURL(`${origin}/bye`)
    t.equal(server.requestsTo('endSession').length, 1, how)
    t.match(server.requestsTo('endSession')[0]?.url.searchParams.get('id_token_hint'), /^ey/)
    await page.goto(`${origin}/page`)
    t.equal(await who(page), 'nobody')
    t.strictSame((await page.context().cookies(origin)).map(({ name }) => name), [])
  }
  t.strictSame(blocked, [])
})

t.test('a page that fetches the login is told to go there itself', { skip }, async (t) => {
  const { origin } = await startBrowsedApp(t)
  const { page } = await open(t)
  await page.goto(`${origin}/page`)
  t.match(await page.evaluate('fetch("/auth/login").then(async (response) => [response.status, (await response.json()).loginPath])'), [401, '/auth/login'])
  await page.evaluate('location.assign("/auth/login?returnTo=/page")')
  await page.waitForURL('**/page')
})
