import { test, type Test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize, logIn, startLoginApp, transactionsOf, type LoginAppOptions } from '../support/login-flow.ts'
import { sessionKey } from '../support/start-app.ts'

/** As browsers send them. */
const navigation = { 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none', accept: 'text/html,*/*;q=0.8' }
const older = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

/** `/orders` wants somebody to be logged in, and counts who gets through. */
async function start (t: Test, options: LoginAppOptions = {}) {
  let reached = 0
  const started = await startLoginApp(t, {
    ...options,
    routes: async (app) => {
      app.route({ method: ['GET', 'POST'], url: '/orders', config: { tokens: { required: 'login' } }, handler: async (request) => { reached++; return { token: await request.accessToken() } } })
      await options.routes?.(app)
    }
  })
  return { ...started, reached: () => reached }
}

/** Where a login that was just started ends, once somebody has logged in. */
async function endOf (browser: Browser, location: string | null): Promise<string | null> {
  return (await browser.get(await authorize(new URL(location ?? '')))).headers.get('location')
}

for (const [what, headers] of [['a navigation', navigation], ['a navigation of an older browser', older]] as const) {
  test(`required: 'login' sends ${what} to the login and back to its page, query and all`, async (t) => {
    const { browser, reached } = await start(t)
    const { status, headers: { ...answered }, setCookies } = await browser.get('/orders?page=2&q=%C3%A4', headers).then((answer) => ({ ...answer, headers: Object.fromEntries(answer.headers) }))
    t.equal(status, 303)
    t.equal(answered['cache-control'], 'no-store')
    t.equal(setCookies.length, 1)
    t.equal(reached(), 0)
    const back = await endOf(browser, answered.location ?? '')
    t.equal(back, '/orders?page=2&q=%C3%A4')
    t.equal((await browser.get(String(back), headers)).status, 200)
  })
}

test('required: \'login\' answers whatever is no navigation with 401 and where to log in', async (t) => {
  const { browser, reached, origin, app } = await start(t)
  for (const headers of [
    { 'sec-fetch-mode': 'cors' }, { 'sec-fetch-mode': 'no-cors' }, { 'sec-fetch-mode': 'same-origin', accept: 'text/html' }, { accept: 'application/json' }, {},
    { ...navigation, 'sec-purpose': 'prefetch' }, { ...older, purpose: 'prefetch' }, { accept: 'text/event-stream', 'sec-fetch-mode': 'cors' }
  ]) {
    const { status, json, headers: answered, setCookies } = await browser.send('GET', '/orders', Object.fromEntries(Object.entries(headers)))
    t.equal(status, 401, JSON.stringify(headers))
    t.match(json, { statusCode: 401, code: 'FST_TOKEN_UNAUTHENTICATED', error: 'Unauthorized', message: /Nobody is logged in/, provider: 'default', loginPath: '/auth/login' })
    t.equal(answered.get('cache-control'), 'no-store')
    t.strictSame(setCookies, [])
  }
  t.equal((await browser.send('HEAD', '/orders', {})).status, 401)
  const handshake = await app.inject({ url: '/orders', headers: { host: new URL(origin).host, connection: 'Upgrade', upgrade: 'websocket', origin } })
  t.equal(handshake.statusCode, 401)
  t.equal(reached(), 0)
})

test('required: \'login\' sends who has posted a form to the login and back to the page of the form, and nowhere else', async (t) => {
  const { browser, origin, reached } = await start(t)
  for (const [referer, back] of [[`${origin}/form?id=7`, '/form?id=7'], [undefined, '/'], ['https://evil.example/form', '/'], [`${origin}//evil.example`, '/'], ['//evil.example', '/']] as const) {
    const answer = await browser.send('POST', '/orders', { ...navigation, 'content-type': 'application/json', ...referer !== undefined && { referer } }, '{}')
    t.equal(answer.status, 303)
    t.equal(await endOf(browser, answer.headers.get('location')), back, String(referer))
    browser.cookies.clear()
  }
  t.equal(reached(), 0)
})

test('required: \'login\' sends who was logged in once to the login again: the session is over, dead or ended', async (t) => {
  const { browser, clock, server } = await start(t, { session: { key: sessionKey, inactivityDuration: 500 } })
  for (const [what, end] of Object.entries({
    'the refresh token is dead': () => { server.fault(faults.oauthError('invalid_grant')); clock.now += 400 },
    'the session is over': () => { clock.now += 501 },
    'somebody has logged out': async () => { await browser.post('/auth/logout') }
  })) {
    await logIn(browser)
    t.equal((await browser.get('/orders', navigation)).status, 200, what)
    await end()
    const answer = await browser.get('/orders', navigation)
    t.equal(answer.status, 303, what)
    t.equal(await endOf(browser, answer.headers.get('location')), '/orders', what)
    t.equal((await browser.get('/orders', navigation)).status, 200, what)
    t.strictSame(transactionsOf(browser), [])
  }
})

test('required: \'login\' sends nobody to a login that helps with nothing', async (t) => {
  const { browser, clock, server, reached } = await start(t)
  await logIn(browser)
  server.fault(faults.empty(503), Infinity)
  clock.now += 400
  const outage = await browser.get('/orders', navigation)
  t.match([outage.status, outage.json.code], [503, 'FST_TOKEN_SERVICE_UNAVAILABLE'])
  t.equal(reached(), 0)
})

test('required: \'login\' does not send a browser round in circles, whose new login is over as it begins', async (t) => {
  const { browser, clock, server } = await start(t, { routes: (app) => { app.get('/other', { config: { tokens: { required: 'login', resource: 'https://other.example.com' } } }, () => ({})) } })
  await logIn(browser)
  server.fault(faults.oauthError('invalid_grant'), Infinity)
  const answer = await browser.get('/other', navigation)
  t.equal(answer.status, 401)
  t.match(answer.json, { code: 'FST_TOKEN_LOGIN_REQUIRED', loginPath: '/auth/login' })
  clock.now += 60
  t.equal((await browser.get('/other', navigation)).status, 303, 'later it may be another matter')
})

test('required: \'login\' means the login of the provider that the route names, below its prefix and behind a proxy that strips one', async (t) => {
  const { browser, origin } = await startLoginApp(t, {
    name: 'github',
    login: { callbackUri: 'http://127.0.0.1:3000/shop/auth/callback', callbackPath: '/auth/callback', startRedirectPath: '/auth/github/login' },
    server: { redirectUris: ['http://127.0.0.1:3000/shop/auth/callback'] },
    routes: (app) => { app.get('/orders', { config: { tokens: { required: 'login', provider: 'github' } } }, () => ({})) }
  })
  t.match((await browser.get('/orders', { 'sec-fetch-mode': 'cors' })).json, { provider: 'github', loginPath: '/shop/auth/github/login' })
  const { headers } = await browser.get('/orders?a=1', navigation)
  const back = new URL(headers.get('location') ?? '')
  const callback = (await authorize(back)).replace('/shop', '')
  t.equal((await new Browser(origin, browser.cookies).get(callback)).headers.get('location'), '/shop/orders?a=1')
})

test('required: \'login\' is no way in where the store fails', async (t) => {
  const { browser, reached } = await start(t, {
    before: (app) => { app.decorate('tokenStore', { get: () => { throw new Error('down') }, set () {}, clear () {} }) }
  })
  t.match(await browser.get('/orders', navigation), { status: 503, json: { code: 'FST_TOKEN_STORE_FAILED' } })
  t.equal(reached(), 0)
})
