/* What docs/security-plugins.md says of other plugins, beside them. */
import { test } from 'tap'
import { Browser } from '../support/browser.ts'
import { authorize, goOn, startLogin } from '../support/login-flow.ts'
import { startPageApp } from '../support/snippets.ts'

const page = 'security-plugins.md'

test('docs/security-plugins.md: with the defaults of helmet a form logs out, also where its Origin is null, and the plugin\'s own pages have their own policy', async (t) => {
  const { enter, origin } = await startPageApp(t, page, { run: ['helmet.ts'], before: (app) => app.get('/', async () => ({})) })
  const browser = await enter()
  const home = await browser.get('/')
  t.match(home.headers.get('content-security-policy'), /default-src 'self';.*form-action 'self'/)
  t.equal(home.headers.get('referrer-policy'), 'no-referrer')
  t.match((await new Browser(origin).get('/auth/callback?code=none&state=unknown12', { accept: 'text/html' })).headers.get('content-security-policy'), /^default-src 'none';/)
  t.equal((await browser.send('POST', '/auth/logout', { origin: 'null' })).status, 403, 'plain http at another name')
  const loggedOut = await browser.send('POST', '/auth/logout', { origin: 'null', 'sec-fetch-site': 'same-origin' })
  t.match(loggedOut.headers.get('content-security-policy'), /^default-src 'none';/)
  t.match((await goOn(browser, loggedOut)).headers.get('location'), /\/end_session|\/logout/)
  t.equal((await startLogin(new Browser(origin))).pathname, '/authorize', 'a link to the login is a redirect')
})

test('docs/security-plugins.md: a route for others is opened without cookies, and no other route is', async (t) => {
  const { enter, origin } = await startPageApp(t, page, { run: ['helmet.ts', 'cors.ts'] })
  const browser = await enter()
  const partner = 'https://partner.example.com'
  const preflight = async (path: string) => await browser.send('OPTIONS', path, { origin: partner, 'access-control-request-method': 'GET' })
  const allowed = await preflight('/open/catalogue')
  t.equal(allowed.headers.get('access-control-allow-origin'), partner)
  t.equal(allowed.headers.get('access-control-allow-credentials'), null)
  t.match(await new Browser(origin).get('/open/catalogue', { origin: partner }), { status: 200, text: '[{"title":"Tea"}]' })
  for (const path of ['/auth/login', '/auth/session', '/auth/logout']) t.match(await preflight(path), { status: 404 }, path)
})

test('docs/security-plugins.md: cors that lets siblings in reads what is only guarded by required, and not what asks for the header', async (t) => {
  const { enter, app } = await startPageApp(t, page, {
    run: ['helmet.ts'],
    options: { bff: { session: true } },
    before: async (app) => {
      await app.register((await import('@fastify/cors')).default, { origin: true, credentials: true })
      app.register(async (scope) => { scope.get('/mine', { config: { tokens: { required: true } } }, async () => ({})) })
    }
  })
  t.ok(app.requireCsrfHeader)
  const browser = await enter()
  const sibling = { origin: 'http://other.localhost', 'sec-fetch-site': 'same-site', 'x-csrf': '1' }
  const mine = await browser.get('/mine', sibling)
  t.equal(mine.status, 200)
  t.equal(mine.headers.get('access-control-allow-origin'), sibling.origin)
  t.match(await browser.get('/auth/session', sibling), { status: 403, json: { code: 'FST_TOKEN_CROSS_SITE' } })
})

test('docs/security-plugins.md: the routes of the login have a limit, and who is refused at the callback goes on when the minute is over', async (t) => {
  const { origin } = await startPageApp(t, page, { run: ['rate-limit.ts'] })
  const browser = new Browser(origin)
  const callback = await authorize(await startLogin(browser))
  for (let count = 2; count <= 20; count++) t.equal((await browser.clone().get('/auth/login')).status, 303)
  const refused = await browser.clone().get('/auth/login')
  t.match(refused, { status: 429, json: { statusCode: 429 } })
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.equal((await browser.post('/auth/logout')).headers.get('x-ratelimit-limit'), null, 'nothing else has one')

  for (let count = 1; count <= 20; count++) t.equal((await new Browser(origin).get('/auth/callback')).status, 400)
  t.equal((await browser.get(callback)).status, 429)
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() + 60_001
  t.equal((await browser.get(callback)).status, 303)
  t.equal((await browser.get('/search')).status, 200)
})

test('docs/security-plugins.md: a limit by user counts all browsers of that user, and those of no other', async (t) => {
  const { enter } = await startPageApp(t, page, { run: ['rate-limit.ts'] })
  const [one, other, bobs] = [await enter('alice'), await enter('alice'), await enter('bob')]
  for (let count = 1; count <= 60; count++) t.equal((await one.get('/search')).status, 200)
  t.equal((await other.get('/search')).status, 429)
  t.equal((await bobs.get('/search')).status, 200)
})
