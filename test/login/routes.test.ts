import { test, type Test } from 'tap'
import type { TokenManagementOptions } from '../../lib/index.ts'
import tokenManagement from '../../lib/index.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { Browser } from '../support/browser.ts'
import { authorize, callbackUri, goOn, logIn, startLogin, startLoginApp } from '../support/login-flow.ts'
import { sessionKey, startApp } from '../support/start-app.ts'

/** The plugin in a context with a prefix. */
async function startBehind (t: Test, prefix: string, login: NonNullable<TokenManagementOptions['login']>) {
  const server = await startAuthorizationServer({ redirectUris: [login.callbackUri] })
  t.teardown(() => server.close())
  const { origin } = await startApp(t, server, {
    name: 'outer',
    routes: async (app) => {
      await app.register(async (context) => {
        await context.register(tokenManagement, { name: 'inner', issuer: server.issuer, clientId: 'web', clientSecret: server.settings.clientSecret, session: { key: sessionKey }, logout: {}, login })
        context.get('/inner-token', async (request) => ({ token: await request.accessToken({ provider: 'inner' }) }))
        context.get('/login-path', async (request) => await request.accessToken({ provider: 'inner' }).catch(({ loginPath }) => ({ loginPath })))
      }, { prefix })
    }
  })
  return { server, browser: new Browser(origin) }
}

test('F23 a callbackUri that no route of a prefix would answer fails the boot, which says what to do', async (t) => {
  await t.rejects(startBehind(t, '/bff', { callbackUri, scope: ['openid'] }), {
    code: 'FST_TOKEN_INVALID_OPTIONS',
    message: /login\.callbackUri has the path \/auth\/callback, and all routes of this context begin with \/bff: .*login\.callbackPath/
  })
  await t.rejects(startBehind(t, '/bff', { callbackUri: 'http://127.0.0.1:3000/bffer/callback', scope: ['openid'] }), { code: 'FST_TOKEN_INVALID_OPTIONS' })
})

test('F23 in a prefix, and behind a proxy that strips one, the browser is told what it sees', async (t) => {
  for (const [prefix, path, callbackPath, route, loginPath, home] of [
    ['/bff', '/bff/auth/callback', undefined, '/bff/auth/callback', '/bff/auth/inner/login', '/'],
    ['', '/app/auth/callback', '/auth/callback', '/auth/callback', '/app/auth/inner/login', '/app/'],
    ['/bff', '/app/bff/back', '/back', '/bff/back', '/app/bff/auth/inner/login', '/app/'],
    ['', '/auth/r%C3%BCck%20weg', undefined, '/auth/r%C3%BCck%20weg', '/auth/inner/login', '/'],
    ['/bff', '/elsewhere', '/back', '/bff/back', '/bff/auth/inner/login', '/']
  ] as const) {
    const { server, browser } = await startBehind(t, prefix || '/', { callbackUri: `http://127.0.0.1:3000${path}`, scope: ['openid'], ...callbackPath && { callbackPath } })
    const seen = await browser.get(`${prefix}/login-path`)
    t.equal(seen.json.loginPath, loginPath)
    const callback = await authorize(await startLogin(browser, `${prefix}/auth/inner/login`))
    const answer = await browser.get(callback.replace(path, route))
    t.match([answer.status, answer.headers.get('location')], [303, home])
    t.equal((await browser.get(`${prefix}/inner-token`)).status, 200)
    const { json } = await browser.post(`${prefix}/auth/inner/logout`, { accept: 'application/json' })
    const stripped = loginPath.slice(0, loginPath.indexOf(`${prefix}/auth`))
    t.match(json.redirectTo, new RegExp(`^${stripped}${prefix}/auth/inner/logout/[\\w-]{22}$`))
    t.equal((await browser.get(String(json.redirectTo).slice(stripped.length))).headers.get('location')?.startsWith(server.issuer), true)
  }
})

test('F24 two registrations with default paths do not meet', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const { origin } = await startApp(t, server, {
    login: { callbackUri, scope: ['openid'] },
    routes: async (app) => {
      await app.register(tokenManagement, {
        name: 'github', issuer: server.issuer, clientId: 'web', clientSecret: server.settings.clientSecret, session: { key: sessionKey }, login: { callbackUri: 'http://127.0.0.1:3000/auth/github/callback', scope: ['openid'] }
      })
    }
  })
  const browser = new Browser(origin)
  await logIn(browser)
  await logIn(browser, '/auth/github/login')
  t.strictSame([...browser.cookies.keys()].toSorted(), ['github-tokens', 'tokens'])
  await goOn(browser, await browser.post('/auth/github/logout'))
  t.strictSame([...browser.cookies.keys()], ['tokens'])
})

test('F45 a login whose codes nothing binds to the browser is said at boot, and no other', async (t) => {
  const none = { code_challenge_methods_supported: undefined }
  for (const [metadata, scope, nonce, isSaid] of [
    [none, ['orders'], true, true],
    [{ code_challenge_methods_supported: ['plain'] }, ['orders'], true, true],
    [none, ['openid'], false, true],
    [none, ['openid'], true, false],
    [{}, ['orders'], true, false]
  ] as const) {
    const { log, server } = await startLoginApp(t, { server: { metadata }, login: { scope: [...scope], nonce } })
    const said = log.filter((line) => line.includes('"level":40') && line.includes('code_challenge_methods_supported'))
    t.equal(said.length, isSaid ? 1 : 0, JSON.stringify([metadata, scope, nonce]))
    if (isSaid) t.ok(said[0]?.includes(server.issuer))
  }
})

test('F46 with login.nonce: false an id_token without a nonce logs in, and an id_token is wanted all the same', async (t) => {
  const { browser, server } = await startLoginApp(t, { login: { nonce: false } })
  const url = await startLogin(browser)
  t.equal(url.searchParams.has('nonce'), false)
  t.equal((await browser.get(await authorize(url))).status, 303)
  t.equal((await browser.get('/token')).status, 200)
  server.fault(faults.without('id_token'))
  t.equal((await logIn(new Browser(browser.origin))).status, 400)
  server.fault(faults.idToken({ aud: 'another' }))
  t.equal((await logIn(new Browser(browser.origin))).status, 400)
})

test('a provider that is asked for no nonce and sends one is not trusted', async (t) => {
  const { browser, server } = await startLoginApp(t, { login: { nonce: false } })
  server.fault(faults.idToken({ nonce: 'of another login' }))
  t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED' } })
})
