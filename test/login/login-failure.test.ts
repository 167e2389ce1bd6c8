import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize, startLogin, startLoginApp } from '../support/login-flow.ts'

/** As a browser asks for a page. */
const asPerson = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate' }

test('a person whose login failed gets a page that stands for itself and has a way back, and a program gets JSON', async (t) => {
  const { browser, server, log } = await startLoginApp(t, { server: { loginError: 'access_denied' } })
  const callback = await authorize(await startLogin(browser, '/auth/login?returnTo=/orders?a=1%26b'))
  const copy = browser.clone()
  const page = await browser.get(callback, asPerson)
  t.equal(page.status, 400)
  t.match(Object.fromEntries(page.headers), {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'content-security-policy': /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; .*form-action 'none'; frame-ancestors 'none'$/
  })
  t.match(page.text, /cancelled, or that access was not granted/)
  t.match(page.text, /FST_TOKEN_LOGIN_FAILED: access_denied/)
  t.ok(page.text.includes('href="/auth/login?returnTo=%2Forders%3Fa%3D1%26b"'))
  t.notMatch(page.text, /<script/i)
  t.match(page.text, /prefers-color-scheme: dark/)
  t.equal(log.filter((line) => line.includes('The login failed')).length, 1)
  t.match(await copy.get(callback), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED' } })
  t.equal(server.tokenRequests, 0)
})

test('the page says where a login that was begun elsewhere can be begun again', async (t) => {
  const { browser } = await startLoginApp(t)
  const callback = await authorize(await startLogin(browser))
  const other = new Browser(browser.origin.replace('127.0.0.1', 'localhost'))
  const { status, text } = await other.get(callback, asPerson)
  t.equal(status, 400)
  t.ok(text.includes(new URL(other.origin).host))
  t.match(text, /localhost and 127\.0\.0\.1 are two/)
  t.match(text, /href="\/auth\/login"/)
})

test('F32 the page of a service that is down is a 503 whose link is the retry', async (t) => {
  const { browser, server } = await startLoginApp(t)
  server.fault(faults.retryAfter(503, 9))
  const callback = await authorize(await startLogin(browser, '/auth/login?returnTo=/page'))
  const page = await browser.get(callback, asPerson)
  t.equal(page.status, 503)
  t.equal(page.headers.get('retry-after'), '9')
  const [, href = ''] = /href="([^"]+)">Try again/.exec(page.text) ?? []
  t.equal(href.at(0), '?', 'whatever a proxy has stripped from the path')
  const answer = await browser.get(`/auth/callback${href.replaceAll('&#38;', '&')}`, asPerson)
  t.match([answer.status, answer.headers.get('location')], [303, '/page'])
})

test('nothing that a request has brought is markup on the page', async (t) => {
  const { browser, server } = await startLoginApp(t)
  const hostile = '"><script>alert(1)</script>'
  for (const [path, headers] of [
    [`/auth/callback?state=${encodeURIComponent(hostile)}&error=${encodeURIComponent(hostile)}`, {}],
    ['/auth/callback', { host: '<script>alert(1)</script>' }]
  ] as const) {
    const { text } = await browser.get(path, { ...asPerson, ...headers })
    t.notMatch(text, /<script|alert\(1\)"/)
  }
  server.fault(faults.redirectParameter('error', hostile), 1, 'authorization')
  const { text } = await browser.get(await authorize(await startLogin(browser, `/auth/login?returnTo=/${encodeURIComponent(hostile)}`)), asPerson)
  t.notMatch(text, /<script/)
})

test('login.onFailed answers in place of the page and the JSON, with the status of the error', async (t) => {
  const seen: unknown[] = []
  const { browser, server } = await startLoginApp(t, {
    server: { loginError: 'access_denied' },
    login: {
      onFailed: (_request, reply, error) => {
        seen.push(error)
        return error.statusCode === 400 ? { ours: error.code } : reply.redirect('/sorry')
      }
    }
  })
  for (const headers of [asPerson, {}]) {
    const answer = await browser.get(await authorize(await startLogin(browser)), headers)
    t.match(answer, { status: 400, json: { ours: 'FST_TOKEN_LOGIN_FAILED' } })
  }
  t.match(seen[0], { providerError: 'access_denied' })
  server.settings.loginError = null
  server.fault(faults.empty(503))
  const answer = await browser.get(await authorize(await startLogin(browser)))
  t.match([answer.status, answer.headers.get('location')], [302, '/sorry'])
})

test('what the app itself throws in a login goes to the app\'s error handler, for people too', async (t) => {
  const { browser, errors } = await startLoginApp(t, { login: { onLogin: () => { throw Object.assign(new Error('no'), { statusCode: 403 }) } } })
  t.match(await browser.get(await authorize(await startLogin(browser)), asPerson), { status: 403, json: { message: 'no' } })
  t.equal(errors[0]?.message, 'no')
})

test('a request that could not be pushed is a page for people, too', async (t) => {
  const { browser, server } = await startLoginApp(t, { login: { pushedAuthorizationRequests: true } })
  server.fault(faults.oauthError('invalid_client', 401), 1, 'pushedAuthorization')
  const page = await browser.get('/auth/login', asPerson)
  t.equal(page.status, 502)
  t.match(page.text, /FST_TOKEN_SERVICE_REFUSED/)
  t.equal(browser.cookies.size, 0)
})

test('F44 no code gets into the log, however its callback is asked for', async (t) => {
  const { browser, origin, log } = await startLoginApp(t)
  const code = 'secret-code-of-this-login'
  const query = `?code=${code}&state=${'s'.repeat(22)}`
  for (const [method, path] of [['GET', '/auth/callback'], ['HEAD', '/auth/callback'], ['GET', '/auth/callback/'], ['HEAD', '/auth/callback/'], ['GET', '/auth/callback/x/y'], ['OPTIONS', '/auth/callback'], ['POST', '/auth/callback'], ['PUT', '/auth/callback'], ['DELETE', '/auth/callback']] as const) {
    const answer = await browser.send(method, path + query, {})
    t.equal(answer.status, path === '/auth/callback' && method === 'GET' ? 400 : 404, `${method} ${path}`)
  }
  await new Browser(origin).get(`/auth/callback${query}`, asPerson)
  t.ok(log.some((line) => line.includes('/auth/callback')))
  t.notOk(log.some((line) => line.includes(code)))
})
