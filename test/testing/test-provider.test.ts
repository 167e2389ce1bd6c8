import { createHash, randomBytes } from 'node:crypto'
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose'
import { test, type Test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { oauthPath, openidPath, type Settings } from '../support/authorization-server/settings.ts'

const basic = 'Basic ' + Buffer.from('web:a+secret').toString('base64')
const redirectUri = 'http://127.0.0.1:3000/auth/callback'

async function start (t: Test, settings?: Partial<Settings>): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  return server
}

function post (url: string, body: Record<string, string> | string, headers: Record<string, string> = { authorization: basic }): Promise<Response> {
  return fetch(url, { method: 'POST', redirect: 'manual', headers, body: new URLSearchParams(body), signal: AbortSignal.timeout(20_000) })
}

function refresh (server: AuthorizationServer, refreshToken: string, more: Record<string, string> = {}): Promise<Response> {
  return post(`${server.issuer}/token`, { grant_type: 'refresh_token', refresh_token: refreshToken, ...more })
}

async function login (server: AuthorizationServer, more: Record<string, string> = {}): Promise<{ back: URL, verifier: string }> {
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: 'web',
    redirect_uri: redirectUri,
    scope: 'openid orders',
    state: 'a state',
    nonce: 'a nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...more
  })
  const response = await fetch(`${server.issuer}/authorize?${query}`, { redirect: 'manual' })
  return { back: new URL(response.headers.get('location') ?? 'about:blank'), verifier }
}

function redeem (server: AuthorizationServer, code: string | null, verifier: string, more: Record<string, string> = {}): Promise<Response> {
  return post(`${server.issuer}/token`, {
    grant_type: 'authorization_code', code: code ?? '', redirect_uri: redirectUri, code_verifier: verifier, ...more
  })
}

async function tokensOf (response: Response): Promise<Record<string, unknown>> {
  const body: unknown = await response.json()
  return body instanceof Object ? { ...body } : {}
}

async function refused (t: Test, response: Response, status: number, error: string): Promise<void> {
  t.equal(response.status, status)
  t.match(await response.json(), { error })
}

test('the metadata is served where and how it is set', async (t) => {
  const server = await start(t)
  t.match(await (await fetch(server.issuer + openidPath)).json(), {
    issuer: server.issuer,
    token_endpoint: `${server.issuer}/token`,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true
  })
  t.equal((await fetch(server.issuer + oauthPath)).status, 404)
  server.settings.metadataPaths = [oauthPath]
  server.settings.metadata = { issuer: 'https://mallory.example', revocation_endpoint: undefined }
  const wrong: unknown = await (await fetch(server.issuer + oauthPath)).json()
  t.match(wrong, { issuer: 'https://mallory.example' })
  t.notMatch(wrong, { revocation_endpoint: String })
  server.fault(faults.empty(500), 1, 'metadata')
  t.equal((await fetch(server.issuer + oauthPath)).status, 500)
  t.equal(server.discoveries, 3)
})

test('a login gives tokens once: code, state and iss come back, PKCE and nonce are checked', async (t) => {
  const server = await start(t, { user: 'bob' })
  const { back, verifier } = await login(server)
  t.equal(back.searchParams.get('state'), 'a state')
  t.equal(back.searchParams.get('iss'), server.issuer)
  const code = back.searchParams.get('code')
  const response = await redeem(server, code, verifier)
  const tokens = await tokensOf(response)
  t.match(tokens, { token_type: 'Bearer', expires_in: 300, scope: 'openid orders', refresh_token: String })
  t.equal(response.headers.get('cache-control'), 'no-store')
  const [family] = server.families
  const { payload } = await jwtVerify(String(tokens.id_token),
    createRemoteJWKSet(new URL(`${server.issuer}/jwks`)), { issuer: server.issuer, audience: 'web', subject: 'bob' })
  t.equal(payload.nonce, 'a nonce')
  t.equal(family?.alive, true)
  await refused(t, await redeem(server, code, verifier), 400, 'invalid_grant')
  t.equal(server.families[0]?.alive, false, 'a replayed code kills what came of it')
  t.equal(server.codeExchanges, 2)
})

test('a code is refused with a wrong verifier, redirect_uri or after its time', async (t) => {
  const server = await start(t)
  const first = await login(server)
  await refused(t, await redeem(server, first.back.searchParams.get('code'), 'x'.repeat(43)), 400, 'invalid_grant')
  await refused(t, await redeem(server, first.back.searchParams.get('code'), first.verifier), 400, 'invalid_grant')
  const second = await login(server)
  const elsewhere = { redirect_uri: redirectUri + '/' }
  await refused(t, await redeem(server, second.back.searchParams.get('code'), second.verifier, elsewhere), 400, 'invalid_grant')
  const third = await login(server)
  server.advance(61)
  await refused(t, await redeem(server, third.back.searchParams.get('code'), third.verifier), 400, 'invalid_grant')
  t.equal(server.families.length, 0)
})

test('the authorization endpoint redirects with errors, but never to a stranger', async (t) => {
  const server = await start(t)
  t.equal((await login(server, { redirect_uri: 'https://mallory.example/' })).back.href, 'about:blank')
  t.equal((await login(server, { client_id: 'other' })).back.href, 'about:blank')
  t.equal((await login(server, { code_challenge_method: 'plain' })).back.searchParams.get('error'), 'invalid_request')
  server.settings.loginError = 'access_denied'
  const { back } = await login(server)
  t.equal(back.searchParams.get('error'), 'access_denied')
  t.equal(back.searchParams.get('state'), 'a state')
  server.fault(faults.redirectParameter('iss', null), 1, 'authorization')
  t.equal((await login(server)).back.searchParams.get('iss'), null)
})

test('R3 R4 the client authenticates with exactly one method, form-encoded in Basic', async (t) => {
  const server = await start(t, { clientSecret: ' %&+£€' })
  const tokens = await server.issue()
  const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
  const send = (secret: string, more = {}) => post(`${server.issuer}/token`, { ...form, ...more },
    { authorization: 'Basic ' + Buffer.from(`web:${secret}`).toString('base64') })
  const unencoded = await send(' %&+£€')
  t.match(unencoded.headers.get('www-authenticate'), /^Basic /)
  await refused(t, unencoded, 401, 'invalid_client')
  await refused(t, await send('+%25%26%2B%C2%A3%E2%82%AC:'), 401, 'invalid_client')
  await refused(t, await send('%FF'), 401, 'invalid_client')
  await refused(t, await send('+%25%26%2B%C2%A3%E2%82%AC', { client_secret: ' %&+£€' }), 400, 'invalid_request')
  await refused(t, await post(`${server.issuer}/token`, form, {}), 401, 'invalid_client')
  t.equal((await send('+%25%26%2B%C2%A3%E2%82%AC')).status, 200)
  const refreshToken = server.familyOf(tokens.refresh_token)?.newestRefreshToken ?? ''
  const inBody = { ...form, refresh_token: refreshToken, client_id: 'web', client_secret: ' %&+£€' }
  server.settings.clientAuthentication = ['client_secret_basic']
  await refused(t, await post(`${server.issuer}/token`, inBody, {}), 401, 'invalid_client')
  server.settings.clientAuthentication = ['client_secret_post']
  t.equal((await post(`${server.issuer}/token`, inBody, {})).status, 200)
  const accepted = server.requestsTo('token').flatMap(({ clientAuthentication }) => clientAuthentication ?? [])
  t.strictSame(accepted, ['client_secret_basic', 'client_secret_post'])
})

test('R2 a form with duplicates, of another type, by GET or in the query is refused', async (t) => {
  const server = await start(t)
  const { refresh_token: token } = await server.issue()
  const form = `grant_type=refresh_token&refresh_token=${token}`
  await refused(t, await post(`${server.issuer}/token`, `${form}&refresh_token=${token}`), 400, 'invalid_request')
  await refused(t, await post(`${server.issuer}/token`, form, { authorization: basic, 'content-type': 'application/json' }), 400, 'invalid_request')
  await refused(t, await post(`${server.issuer}/token?refresh_token=${token}`, form), 400, 'invalid_request')
  await refused(t, await fetch(`${server.issuer}/token?${form}`), 405, 'invalid_request')
  await refused(t, await post(`${server.issuer}/token`, 'grant_type=password'), 400, 'unsupported_grant_type')
  t.equal((await post(`${server.issuer}/token`, form)).status, 200)
})

test('every refresh rotates, and reuse of a spent refresh token revokes the family', async (t) => {
  const server = await start(t)
  const first = await server.issue({ sub: 'carol', scope: 'orders', expiresIn: 5 })
  t.match(first, { expires_in: 5, scope: 'orders', id_token: undefined })
  const second: unknown = await (await refresh(server, first.refresh_token)).json()
  t.match(second, { access_token: String, refresh_token: server.familyOf(first.refresh_token)?.newestRefreshToken })
  t.equal(server.isAlive(first.refresh_token), true)
  t.match(server.whoHas(first.access_token), { sub: 'carol', scope: 'orders' })
  await refused(t, await refresh(server, first.refresh_token), 400, 'invalid_grant')
  t.equal(server.isAlive(first.refresh_token), false)
  t.equal(server.whoHas(first.access_token), null)
  await refused(t, await refresh(server, server.familyOf(first.refresh_token)?.newestRefreshToken ?? ''), 400, 'invalid_grant')
  t.match(server.requestsTo('token', 'refresh_token').map(({ status }) => status), [200, 400, 400])
})

test('of two parallel refreshes one is 200, one 400, and both are dead', async (t) => {
  const server = await start(t)
  const { refresh_token: token } = await server.issue()
  const gate = server.hold()
  const both = [refresh(server, token), refresh(server, token)]
  await gate.arrived(2)
  t.equal(gate.waiting, 2)
  t.equal(server.refreshes, 2)
  gate.release()
  t.strictSame((await Promise.all(both)).map(({ status }) => status).sort(), [200, 400])
  t.equal(server.isAlive(token), false)
})

test('a gate can hold answers back, and let them go one by one', async (t) => {
  const server = await start(t)
  const gate = server.hold({ what: 'answers' })
  const tokens = await Promise.all([server.issue(), server.issue()])
  const answers = tokens.map((each) => refresh(server, each.refresh_token))
  await gate.arrived(2)
  t.ok(server.connections >= 2)
  t.ok(tokens.every((each) => server.familyOf(each.refresh_token)?.newestRefreshToken !== each.refresh_token), 'spent already')
  gate.admit(1)
  await Promise.race(answers)
  t.equal(gate.waiting, 1)
  gate.release()
  t.strictSame((await Promise.all(answers)).map(({ status }) => status), [200, 200])
})

test('in the grace a spent refresh token gives its successor, so often and so long', async (t) => {
  const server = await start(t, { grace: { uses: 2, seconds: 10 }, clock: () => 1_800_000_000 })
  const { refresh_token: token } = await server.issue()
  for (const passed of [0, 5, 5]) {
    server.advance(passed)
    t.match(await (await refresh(server, token)).json(), { refresh_token: server.familyOf(token)?.newestRefreshToken })
  }
  await refused(t, await refresh(server, token), 400, 'invalid_grant')
  const late = await server.issue()
  await refresh(server, late.refresh_token)
  server.advance(10.1)
  await refused(t, await refresh(server, late.refresh_token), 400, 'invalid_grant')
  t.equal(server.isAlive(late.refresh_token), false)
})

test('without rotation the answer has the same refresh token, or none', async (t) => {
  const server = await start(t, { rotation: 'same' })
  const { refresh_token: token } = await server.issue()
  t.match(await (await refresh(server, token)).json(), { refresh_token: token })
  server.settings.rotation = 'none'
  t.match(await (await refresh(server, token)).json(), { refresh_token: undefined, access_token: String })
  t.equal(server.isAlive(token), true)
})

test('R6 R29 one refresh token serves several resources and less scope, never more', async (t) => {
  const server = await start(t, { resources: ['https://a.example', 'https://b.example'], accessTokenFormat: 'jwt' })
  let { refresh_token: token } = await server.issue({ scope: 'read write' })
  for (const [resource, scope] of [['https://a.example', 'read'], ['https://b.example', 'write']] as const) {
    const answer = await tokensOf(await refresh(server, token, { resource, scope }))
    t.equal(answer.scope, scope)
    const accessToken = String(answer.access_token)
    t.match(decodeJwt(accessToken), { aud: resource, scope, sub: 'alice', iss: server.issuer })
    t.match(server.whoHas(accessToken), { resource, scope })
    token = server.familyOf(token)?.newestRefreshToken ?? ''
  }
  await refused(t, await refresh(server, token, { scope: 'read admin' }), 400, 'invalid_scope')
  await refused(t, await refresh(server, token, { resource: 'https://c.example' }), 400, 'invalid_target')
  await refused(t, await refresh(server, token, { resource: 'https://a.example#x' }), 400, 'invalid_target')
  t.equal((await refresh(server, token)).status, 200, 'a refused request spent nothing')
})

test('R22 R23 a revoked token takes its family along, and an unknown one is fine', async (t) => {
  const server = await start(t)
  const tokens = await server.issue()
  await refused(t, await post(`${server.issuer}/revoke`, { token: tokens.refresh_token }, {}), 401, 'invalid_client')
  t.equal(server.isAlive(tokens.refresh_token), true)
  t.equal((await post(`${server.issuer}/revoke`, { token: tokens.refresh_token, token_type_hint: 'refresh_token' })).status, 200)
  t.equal(server.isAlive(tokens.refresh_token), false)
  t.equal((await post(`${server.issuer}/revoke`, { token: 'unknown' })).status, 200)
  server.fault(faults.retryAfter(503, 1), 1, 'revocation')
  t.equal((await post(`${server.issuer}/revoke`, { token: 'unknown' })).headers.get('retry-after'), '1')
  t.equal(server.revocations, 4)
})

test('an access token opens userinfo until it expires, is made invalid, or its session ends', async (t) => {
  const server = await start(t, { clock: () => 1_800_000_000 })
  const call = async (token: string) => (await fetch(`${server.issuer}/userinfo`, { headers: { authorization: `Bearer ${token}` } })).status
  const [expires, invalidated, ended] = await Promise.all([server.issue({ expiresIn: 5 }), server.issue(), server.issue()])
  t.equal(await call(expires.access_token), 200)
  server.advance(5)
  t.equal(await call(expires.access_token), 401)
  t.equal(await call(invalidated.access_token), 200)
  server.invalidate(invalidated.access_token)
  t.equal(await call(invalidated.access_token), 401)
  t.equal(server.isAlive(invalidated.refresh_token), true)
  server.end(ended.refresh_token)
  t.equal(await call(ended.access_token), 401)
  t.equal(server.isAlive(expires.refresh_token), true, 'and that one alone')
  const bob = await server.issue({ sub: 'bob' })
  server.end('alice')
  t.equal(server.isAlive(expires.refresh_token), false, 'all of a user')
  t.equal(await call(bob.access_token), 200)
})

test('the end of the session takes an id_token of its own as hint, and goes back', async (t) => {
  const server = await start(t)
  const other = await start(t)
  const out = async (hint = '') => fetch(`${server.issuer}/logout?` + new URLSearchParams({
    id_token_hint: hint, post_logout_redirect_uri: 'http://127.0.0.1:3000/', state: 's'
  }), { redirect: 'manual' })
  t.equal((await out((await server.issue()).id_token)).headers.get('location'), 'http://127.0.0.1:3000/?state=s')
  t.equal((await out((await other.issue()).id_token)).status, 400)
  t.equal((await out()).status, 400)
})

test('faults that answer in the place of the server spend nothing', async (t) => {
  const server = await start(t)
  const { refresh_token: token } = await server.issue()
  server.fault(faults.resetBefore())
  await t.rejects(refresh(server, token), { cause: { code: 'ECONNRESET' } })
  server.fault(faults.oauthError('invalid_grant', 403), 2)
  server.fault(faults.oauthError('invalid_grant', 200))
  for (const status of [403, 403, 200]) await refused(t, await refresh(server, token), status, 'invalid_grant')
  server.fault(faults.retryAfter(429, 7))
  const limited = await refresh(server, token)
  t.equal(limited.status, 429)
  t.equal(limited.headers.get('retry-after'), '7')
  server.fault(faults.redirect('https://elsewhere.example/token'))
  t.equal((await refresh(server, token)).headers.get('location'), 'https://elsewhere.example/token')
  server.fault(faults.html())
  t.match(await (await refresh(server, token)).text(), /^<!doctype/)
  server.fault(faults.empty(400))
  t.equal(await (await refresh(server, token)).text(), '')
  server.fault(faults.oauthError('server_error', 500), Infinity)
  for (const status of [500, 500, 500]) await refused(t, await refresh(server, token), status, 'server_error')
  server.clearFaults()
  t.equal((await refresh(server, token)).status, 200)
})

test('faults after the processing have rotated the tokens', async (t) => {
  const server = await start(t)
  const spent = async (): Promise<[string, () => boolean]> => {
    const { refresh_token: token } = await server.issue()
    return [token, () => server.isAlive(token) && server.familyOf(token)?.newestRefreshToken !== token]
  }
  const [lost, wasLost] = await spent()
  server.fault(faults.resetAfter())
  await t.rejects(refresh(server, lost), { cause: { code: 'ECONNRESET' } })
  t.ok(wasLost())

  const [cut, wasCut] = await spent()
  server.fault(faults.notJson())
  await t.rejects((await refresh(server, cut)).json(), SyntaxError)
  t.ok(wasCut())

  const [gateway, wasGateway] = await spent()
  server.fault(faults.afterProcessing(faults.html(502)))
  t.equal((await refresh(server, gateway)).status, 502)
  t.ok(wasGateway())

  const [big, wasBig] = await spent()
  server.fault(faults.huge())
  t.ok((await (await refresh(server, big)).text()).length > 5_000_000)
  t.ok(wasBig())
})

test('an answer may stay away, stop after its headers, or drip', async (t) => {
  const server = await start(t)
  const tokens = await server.issue()
  server.fault(faults.headersThenSilence())
  const response = await refresh(server, tokens.refresh_token)
  t.equal(response.status, 200)
  await response.body?.cancel()
  server.fault(faults.silence())
  const gate = server.hold()
  const unanswered = t.rejects(refresh(server, (await server.issue()).refresh_token))
  await gate.arrived()
  gate.release()
  server.fault(faults.drip(1))
  const dripped = await refresh(server, (await server.issue()).refresh_token)
  t.match(await dripped.json(), { access_token: String })
  await server.close()
  await unanswered
})

test('faults alter the members of the answer, and the claims of its id_token', async (t) => {
  const server = await start(t)
  let { refresh_token: token } = await server.issue()
  const next = async (): Promise<Record<string, unknown>> => {
    const answer = await tokensOf(await refresh(server, token))
    token = server.familyOf(token)?.newestRefreshToken ?? ''
    return answer
  }
  server.fault(faults.without('expires_in', 'scope', 'refresh_token', 'id_token'))
  t.strictSame(Object.keys(await next()), ['access_token', 'token_type'])
  server.fault(faults.all(faults.members({ expires_in: '300', token_type: 'bEARER' }), faults.idToken({ sub: 'mallory', aud: 'other' })))
  const altered = await next()
  t.match(altered, { expires_in: '300', token_type: 'bEARER' })
  const keys = createRemoteJWKSet(new URL(`${server.issuer}/jwks`))
  t.match((await jwtVerify(String(altered.id_token), keys)).payload, { iss: server.issuer, sub: 'mallory', aud: 'other' })
})

test('a server that refuses connections comes back on the same port, its sessions with it', async (t) => {
  const server = await start(t)
  const { refresh_token: token } = await server.issue()
  const { issuer } = server
  await server.refuseConnections()
  await t.rejects(refresh(server, token), { cause: { code: 'ECONNREFUSED' } })
  await server.acceptConnections()
  t.equal(server.issuer, issuer)
  t.equal((await refresh(server, token)).status, 200)
  server.forgetRequests()
  t.equal(server.tokenRequests, 0)
})

test('closing lets nothing hang: neither what waits at a gate nor an idle connection', async (t) => {
  const server = await startAuthorizationServer({ latency: 60 })
  const waiting = refresh(server, (await server.issue()).refresh_token)
  const late = t.rejects(waiting)
  const gate = server.hold()
  const held = t.rejects(refresh(server, (await server.issue()).refresh_token))
  await gate.arrived()
  await server.close()
  await Promise.all([late, held])
  await t.rejects(fetch(server.issuer + openidPath), { cause: { code: 'ECONNREFUSED' } })
})
