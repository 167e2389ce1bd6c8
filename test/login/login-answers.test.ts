import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'

test('F15 a login whose access token has no lifetime, and that brings no refresh token, fails and says why', async (t) => {
  const { server, browser, errors } = await startLoginApp(t)
  const past = `e30.${Buffer.from(JSON.stringify({ iat: 1, exp: 1 })).toString('base64url')}.x`
  for (const members of [{ expires_in: 0 }, { expires_in: -5 }, { expires_in: '0' }, { expires_in: undefined, access_token: past }]) {
    server.fault(faults.members({ ...members, refresh_token: undefined }))
    t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: /the access token has no lifetime, and there is no refresh token/ } }, JSON.stringify(members))
    t.match(errors.at(-1), { cause: { name: 'AnswerError' } })
    t.equal((await browser.get('/token')).status, 401)
    server.fault(faults.members(members))
    t.equal((await logIn(browser)).status, 303, 'with a refresh token it can go on')
    browser.cookies.clear()
  }
})

test('F10 F13 a login takes a list of scopes, and a lifetime that only the token says', async (t) => {
  const { server, browser, clock } = await startLoginApp(t, {
    server: { accessTokenFormat: 'jwt' },
    routes: (app) => app.get('/set', async (request) => await request.tokens.get())
  })
  clock.now += 20
  server.fault(faults.members({ scope: ['openid', 'orders'], expires_in: undefined }))
  t.equal((await logIn(browser)).status, 303)
  const { accessTokens } = Object((await browser.get('/set')).json)
  t.match(accessTokens, [{ scope: 'openid orders' }])
  t.ok(Math.abs(accessTokens[0].expiresAt - clock.now - 300) < 3)
})

test('F9 an id_token that was asked for must be right at the login, and one that was not is left out where it is not', async (t) => {
  for (const fault of [faults.idToken({ exp: 1, iat: 0 }), faults.members({ id_token: 5 }), faults.members({ id_token: 'no.jwt' }), faults.without('id_token')]) {
    const { server, browser } = await startLoginApp(t)
    server.fault(fault)
    t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED' } })
    const plain = await startLoginApp(t, { login: { scope: ['orders'] } })
    plain.server.fault(faults.members({ id_token: 'no.jwt' }))
    t.equal((await logIn(plain.browser)).status, 303)
  }
})

test('F53 a login that brings a token that no header can carry fails', async (t) => {
  const { server, browser, log } = await startLoginApp(t)
  for (const members of [{ access_token: 'sesame\r\nx: y' }, { refresh_token: 'sesame\u0007' }]) {
    server.fault(faults.members(members))
    t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: /holds characters/ } })
  }
  t.notOk(log.some((line) => line.includes('sesame')))
})
