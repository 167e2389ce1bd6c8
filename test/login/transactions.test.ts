import cookie from '@fastify/cookie'
import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { Browser } from '../support/browser.ts'
import { authorize, logIn, startLogin, startLoginApp, transactionsOf } from '../support/login-flow.ts'

const https = 'https://app.example.com/auth/callback'
const overHttps = { server: { redirectUris: [https] }, login: { callbackUri: https } }

test('F29 two tabs that log in at once both end on their own page, in either order', async (t) => {
  for (const order of [[0, 1], [1, 0]]) {
    const { browser, server } = await startLoginApp(t)
    const pages = ['/first?a=1', '/second#b']
    const callbacks = []
    for (const page of pages) callbacks.push(await authorize(await startLogin(browser, `/auth/login?returnTo=${encodeURIComponent(page)}`)))
    for (const index of order) {
      const answer = await browser.get(callbacks[index] ?? '')
      t.match([answer.status, answer.headers.get('location')], [303, pages[index]])
    }
    t.strictSame([...browser.cookies.keys()], ['tokens'])
    t.equal((await browser.get('/token')).status, 200)
    t.equal(server.codeExchanges, 2)
  }
})

test('a browser holds four logins at most, and the oldest goes first', async (t) => {
  const { browser, clock } = await startLoginApp(t)
  const callbacks = []
  for (let tab = 0; tab < 6; tab++) {
    callbacks.push(await authorize(await startLogin(browser, `/auth/login?returnTo=/${tab}`)))
    clock.now += 1
  }
  t.equal(transactionsOf(browser).length, 4)
  const answers = []
  for (const callback of callbacks.toReversed()) answers.push(await browser.get(callback))
  t.strictSame(answers.map(({ headers }) => headers.get('location')), ['/5', '/4', '/3', '/2', '/', '/'], 'whose login is gone ends in the app, being logged in')
})

test('logins and the session have session.maxCookieBytes together: the oldest login makes room', async (t) => {
  const { browser, clock } = await startLoginApp(t, { session: { key: randomBytes(32), maxCookieBytes: 1500 } })
  const long = (tab: number) => `/auth/login?returnTo=/${tab}?${randomBytes(300).toString('hex')}`
  for (let tab = 0; tab < 3; tab++) {
    await startLogin(browser, long(tab))
    clock.now += 1
    t.ok(browser.header.length <= 1500, String(browser.header.length))
  }
  t.equal(transactionsOf(browser).length, 1)
})

test('F31 a login page that was left open for too long is a login that has to begin again, and the next one works', async (t) => {
  for (const [seconds, status] of [[599, 303], [600, 400], [3700, 400]] as const) {
    const { browser, clock } = await startLoginApp(t)
    const callback = await authorize(await startLogin(browser))
    clock.now += seconds
    const answer = await browser.get(callback)
    t.equal(answer.status, status, `${seconds} s`)
    if (status === 400) t.match(answer.json, { code: 'FST_TOKEN_LOGIN_FAILED', message: /longer than ten minutes/ })
  }
})

test('F31 the back button and the reload on the callback lead to the app where somebody is logged in', async (t) => {
  const { browser, server } = await startLoginApp(t)
  const callback = await authorize(await startLogin(browser, '/auth/login?returnTo=/page'))
  await browser.get(callback)
  for (const path of [callback, '/auth/callback?error=access_denied', '/auth/callback']) {
    const answer = await browser.get(path)
    t.match([answer.status, answer.headers.get('location')], [303, '/'])
  }
  t.equal(server.codeExchanges, 1)
  await browser.post('/auth/logout')
  t.equal((await browser.get(callback)).status, 400, 'and nowhere else')
})

test('F33 a returnTo is followed up to 1,000 characters once deflated, else its path, else /, and never another login\'s', async (t) => {
  const random = (characters: number) => randomBytes(characters).toString('base64url').slice(0, characters)
  const cyrillic = (length: number) => Array.from(randomBytes(length), (byte) => String.fromCodePoint(0x430 + byte % 32)).join('')
  const page = `/search?q=${encodeURIComponent(cyrillic(480))}`
  const cases: Array<[what: string, returnTo: string, location: string]> = [
    ['1,000 characters that do not compress', `/${random(999)}`, ''],
    ['5,000 that do', `/list?${'page=1&'.repeat(714)}`, ''],
    ['480 Cyrillic ones', page, page],
    ['5,000 that do not compress', `/list?q=${random(5000)}#top`, '/list'],
    ['a path that does not fit', `/${random(5000)}?q=1`, '/']
  ]
  for (const [what, returnTo, location] of cases) {
    const { browser } = await startLoginApp(t)
    await startLogin(browser, '/auth/login?returnTo=/another')
    const answer = await logIn(browser, `/auth/login?returnTo=${encodeURIComponent(returnTo)}`)
    t.equal(answer.headers.get('location'), location || returnTo, what)
  }
})

test('F33 a returnTo of the app that no browser could ask for ends on /', async (t) => {
  const { browser } = await startLoginApp(t, { routes: (app) => { app.get('/far', async (_request, reply) => await reply.startLogin({ returnTo: `/${'a'.repeat(66_000)}` })) } })
  t.equal((await logIn(browser, '/far')).headers.get('location'), '/')
})

test('F33 the cookie of a login is one that every browser keeps, with a long returnTo and a key of DPoP in it', async (t) => {
  const { browser } = await startLoginApp(t, { server: { dpop: true }, dpop: { alg: 'ES512' } })
  await startLogin(browser, `/auth/login?returnTo=/${randomBytes(499).toString('hex')}`)
  t.ok(browser.header.length < 2500, String(browser.header.length))
})

test('F34 an address of the app itself is as good a returnTo as its path', async (t) => {
  const { origin } = await startLoginApp(t)
  const cases: Array<[returnTo: string, location: string]> = [
    [`${origin}/x?y#z`, '/x?y#z'],
    ['http://127.0.0.1:3000/x', '/x'],
    ['HTTP://127.0.0.1:3000/x', '/x'],
    ['http://127.0.0.1:3000', '/'],
    ['http://127.0.0.1:3000//evil.example', '/'],
    ['http://127.0.0.1:3000@evil.example/x', '/'],
    ['http://127.0.0.1:30000/x', '/'],
    ['https://127.0.0.1:3000/x', '/'],
    ['//127.0.0.1:3000/x', '/']
  ]
  for (const [returnTo, location] of cases) {
    const answer = await logIn(new Browser(origin), `/auth/login?returnTo=${encodeURIComponent(returnTo)}`)
    t.equal(answer.headers.get('location'), location, returnTo)
  }
})

test('F35 the cookies of a login are the plugin\'s own, whatever the app says of its cookies', async (t) => {
  const parseOptions = { domain: 'example.com', path: '/app', sameSite: 'strict', secure: false, httpOnly: false, signed: true, maxAge: 1 } as const
  const { browser } = await startLoginApp(t, { ...overHttps, before: async (app) => { await app.register(cookie, { secret: 'of the app', parseOptions }) } })
  const { setCookies } = await browser.get('/auth/login')
  t.match(setCookies, [/^__Host-login-[\w-]{8}=[\w.-]+; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/])
  t.equal((await logIn(browser)).status, 303)
  t.strictSame(transactionsOf(browser).length, 1, 'only the one that was left')
  t.equal((await browser.get('/token')).status, 200)
})

test('F36 the cookies of a login are None where the session\'s is None, and Lax where it is Strict', async (t) => {
  for (const [sameSite, attribute] of [['none', 'None'], ['strict', 'Lax'], ['lax', 'Lax']] as const) {
    const { browser } = await startLoginApp(t, { ...overHttps, session: { key: randomBytes(32), cookie: { sameSite } } })
    const { setCookies } = await browser.get('/auth/login')
    t.match(setCookies[0], new RegExp(`; SameSite=${attribute}$`))
    const answer = await logIn(browser)
    t.match(answer.setCookies.find((each) => each.includes('login-')), new RegExp(`Max-Age=0; .*; SameSite=${attribute}$`), 'it is deleted in the same way')
  }
})

test('F36 session.cookie.partitioned is on the cookies of a login, and on their deletion', async (t) => {
  const { browser } = await startLoginApp(t, { ...overHttps, session: { key: randomBytes(32), cookie: { sameSite: 'none', partitioned: true } } })
  const { setCookies } = await browser.get('/auth/login')
  t.match(setCookies[0], /; Secure; Partitioned; SameSite=None$/)
  const answer = await logIn(browser)
  t.match(answer.setCookies.find((each) => each.includes('login-')), /Max-Age=0; .*; Partitioned; SameSite=None$/)
})

test('only a navigation starts a login: a fetch is told where that is, and a prefetch gets nothing', async (t) => {
  const { browser, server } = await startLoginApp(t)
  const others: Array<Record<string, string>> = [
    { 'sec-fetch-mode': 'cors' }, { 'sec-fetch-mode': 'no-cors' }, { 'sec-fetch-mode': 'same-origin' }, { 'sec-fetch-mode': 'websocket' },
    { 'sec-fetch-mode': 'navigate', 'sec-purpose': 'prefetch' }, { 'sec-purpose': 'prefetch;prerender' }, { purpose: 'prefetch' }
  ]
  for (const headers of others) {
    const answer = await browser.get('/auth/login?returnTo=/x', headers)
    t.match(answer, { status: 401, setCookies: [], json: { statusCode: 401, code: 'FST_TOKEN_UNAUTHENTICATED', provider: 'default', loginPath: '/auth/login' } }, JSON.stringify(headers))
    t.equal(answer.headers.get('cache-control'), 'no-store')
  }
  t.equal(browser.cookies.size, 0)
  t.equal((await browser.get('/auth/login', { 'sec-fetch-mode': 'navigate' })).status, 303)
  t.equal((await browser.get('/auth/login')).status, 303)
  t.equal(server.requests.length, 1, 'nobody but the discovery has asked the provider')
})

test('a cookie of a login opens for its own state, provider and key only', async (t) => {
  const { browser, origin } = await startLoginApp(t)
  const other = await startLoginApp(t)
  const [callback, foreign] = [await authorize(await startLogin(browser)), await authorize(await startLogin(other.browser))]
  const [name = ''] = transactionsOf(browser)
  const [foreignName = ''] = transactionsOf(other.browser)
  const sealed = browser.cookies.get(name) ?? ''
  const attempts: Array<[what: string, cookies: Array<[string, string]>, path: string]> = [
    ['tampered with', [[name, `${sealed.startsWith('A') ? 'B' : 'A'}${sealed.slice(1)}`]], callback],
    ['under another name', [[`login-${'x'.repeat(8)}`, sealed]], callback],
    ['of another key', [[foreignName, other.browser.cookies.get(foreignName) ?? '']], foreign],
    ['another login\'s under its name', [[foreignName, sealed]], foreign]
  ]
  for (const [what, cookies, path] of attempts) t.equal((await new Browser(origin, cookies).get(path)).status, 400, what)
  const twice = await new Browser(origin).get(callback, { cookie: `${name}=broken; ${name}=${sealed}; ${name}` })
  t.equal(twice.status, 303, 'of two with one name, the one that opens')
})

test('@fastify/oauth2 hands state and verifier to a stand-in of the reply, and sets no cookie of its own', async (t) => {
  const { browser } = await startLoginApp(t)
  const { setCookies, headers } = await browser.get('/auth/login')
  t.equal(setCookies.length, 1)
  t.match(setCookies[0], /^login-[\w-]{8}=/)
  const state = new URL(headers.get('location') ?? '').searchParams.get('state') ?? ''
  t.ok(setCookies[0]?.startsWith(`login-${state.slice(0, 8)}=`), 'and it is the state of the redirect')
  t.equal((await browser.get(await authorize(new URL(headers.get('location') ?? '')))).status, 303, 'and the verifier is that of the challenge')
})
