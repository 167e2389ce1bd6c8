import { createHash, randomBytes } from 'node:crypto'
import { test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { first, tokenServiceBench } from '../support/token-service-bench.ts'
import { classifyFailure } from '../../lib/refresh/failure.ts'
import { AnswerError } from '../../lib/token-service/token-response.ts'
import { isExpired, needsRefresh } from '../../lib/tokens/lifetime.ts'

const basicOf = (id: string, secret: string) => 'Basic ' + Buffer.from(`${id}:${secret}`).toString('base64')

test('R1 R2 R3 a refresh is one POST of a form, with one way of client authentication', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t)
  const tokens = await session()
  await refresh(tokens)
  const { method, headers, body, params } = first(server.requests)
  t.equal(method, 'POST')
  t.match(headers['content-type'], /^application\/x-www-form-urlencoded(;charset=utf-8)?$/i)
  t.equal(new Set(new URLSearchParams(body).keys()).size, [...new URLSearchParams(body)].length, 'no parameter twice')
  t.equal(headers.authorization, basicOf('web', 'a+client+secret'))
  t.strictSame(params, { grant_type: 'refresh_token', refresh_token: tokens.refreshToken }, 'R6 and no scope')
})

test('R2 a query on the token endpoint is kept', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const { refresh, session } = await tokenServiceBench(t, { metadata: { token_endpoint: `${server.issuer}/token?tenant=a%20b&v=2` } })
  await t.rejects(refresh(await session()), { name: 'AnswerError' }, 'another server knows neither client nor token')
  t.equal(server.requests[0]?.url.search, '?tenant=a%20b&v=2')
})

test('R4 client_secret_basic form-encodes id and secret before base64', async (t) => {
  const vector = ' %&+£€'
  const { server, session, refresh } = await tokenServiceBench(t, { server: { clientId: vector, clientSecret: vector } })
  await refresh(await session())
  const encoded = '+%25%26%2B%C2%A3%E2%82%AC'
  t.equal(server.requests[0]?.headers.authorization, basicOf(encoded, encoded))
  t.equal(server.requests[0]?.clientAuthentication, 'client_secret_basic')
})

test('F16 client_secret_basic leaves *-._ as they are, as the URL standard encodes forms', async (t) => {
  const [clientId, clientSecret] = ['web-app_1.x*', '~a=b:c d*-._!\'()']
  const { server, session, refresh } = await tokenServiceBench(t, { server: { clientId, clientSecret } })
  await refresh(await session())
  t.equal(server.requests[0]?.headers.authorization, basicOf('web-app_1.x*', '%7Ea%3Db%3Ac+d*-._%21%27%28%29'))
  const odd = await tokenServiceBench(t, { server: { clientId: 'a=b:c', clientSecret } })
  await odd.refresh(await odd.session())
  t.equal(odd.server.requests[0]?.clientAuthentication, 'client_secret_basic', 'a service that decodes takes it, too')
})

/** What a login at the authorization server sends back. */
async function callback (server: AuthorizationServer) {
  const codeVerifier = randomBytes(32).toString('base64url')
  const redirectUri = 'http://127.0.0.1:3000/cb'
  const scope = 'openid offline_access'
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: server.settings.clientId,
    redirect_uri: redirectUri,
    scope,
    state: 'a-state',
    nonce: 'a-nonce',
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256'
  })
  const { headers } = await fetch(`${server.issuer}/authorize?${query}`, { redirect: 'manual' })
  return { parameters: new URL(headers.get('location') ?? '').searchParams, state: 'a-state', nonce: 'a-nonce', codeVerifier, redirectUri, scope }
}

test('a code is redeemed into a session, and only with an id_token of its nonce where one was asked for', async (t) => {
  const { server, loginRequests, dispatcher, clock } = await tokenServiceBench(t)
  const tokens = await loginRequests.redeem(await callback(server), dispatcher)
  t.match(tokens, { sessionId: /^[\w-]{36}$/, generation: 0, startedAt: Math.floor(clock.now), refreshToken: String, idToken: String })
  t.match(tokens.accessTokens, [{ accessToken: String, tokenType: 'Bearer', issuedAt: clock.now, expiresAt: clock.now + 300, scope: 'openid offline_access' }])

  await t.rejects(loginRequests.redeem({ ...await callback(server), nonce: 'another' }, dispatcher), { name: 'AnswerError', message: /nonce/ })
  server.fault(faults.without('id_token'))
  await t.rejects(loginRequests.redeem(await callback(server), dispatcher), { name: 'AnswerError' })
  const { nonce, ...withoutNonce } = await callback(server)
  server.fault(faults.without('id_token', 'scope'))
  t.match((await loginRequests.redeem(withoutNonce, dispatcher)).accessTokens, [{ scope: 'openid offline_access' }], 'R11 the scope is that asked for')
})

test('R5 R17 a client that is refused is not tried in another way', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t, { server: { clientAuthentication: ['client_secret_post'] } })
  const tokens = await session()
  const error = await refresh(tokens).catch((error: unknown) => error)
  t.match(error, { name: 'AnswerError', status: 401, error: 'invalid_client' })
  t.equal(server.tokenRequests, 1)
  t.ok(server.isAlive(tokens.refreshToken))
})

test('R6 scope and resource go along only where they are asked for', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t)
  const tokens = await session({ scope: 'a b c' })
  const next = await refresh(tokens, { scope: 'a', resource: 'https://api.example.com/' })
  t.match(server.requests[0]?.params, { scope: 'a', resource: 'https://api.example.com/' })
  t.match(next.accessTokens, [{ scope: 'a b c' }, { scope: 'a', requestedScope: 'a', resource: 'https://api.example.com/' }])
  t.equal(next.accessTokens[0], tokens.accessTokens[0], 'the login\'s own token is carried along')
})

test('R7 redirects are not followed', async (t) => {
  const elsewhere = await startAuthorizationServer()
  t.teardown(() => elsewhere.close())
  const { failure } = await tokenServiceBench(t)
  for (const status of [301, 302, 303, 307, 308]) {
    const error = await failure(faults.redirect(`${elsewhere.issuer}/token`, status))
    t.match(error, { name: 'AnswerError', status }, String(status))
    t.equal(classifyFailure(error).class, 'badResponse')
  }
  t.equal(elsewhere.requests.length, 0)
})

test('R7 an answer of up to 1 MiB is read, and none that is larger', async (t) => {
  const { server, session, refresh, failure } = await tokenServiceBench(t)
  server.fault(faults.huge(1_000_000))
  t.match(await refresh(await session()), { generation: 1 })
  t.match(await failure(faults.huge()), { name: 'BackchannelError', sent: true, message: /larger than 1048576 bytes/ })
  t.match(await failure(faults.answer(400, 'x'.repeat(1_048_577))), { name: 'BackchannelError' }, 'neither for an error')
  t.match(await refresh(await session()), { generation: 1 }, 'and the next call has a connection')
})

test('R7 R19 one deadline is for all of a call: no answer, half an answer, or a byte now and then', async (t) => {
  const { failure } = await tokenServiceBench(t, { requestTimeout: 0.3 })
  for (const fault of [faults.silence(), faults.headersThenSilence(), faults.drip(5)]) {
    const error = await failure(fault)
    t.match(error, { name: 'BackchannelError', sent: true, message: /not within 0\.3 s/ })
    t.equal(classifyFailure(error).class, 'ambiguous')
  }
})

test('R8 token_type compares without case, and an answer without token or type, or of another type, is not used', async (t) => {
  const { server, session, refresh, failure } = await tokenServiceBench(t)
  server.fault(faults.members({ token_type: 'bEARER' }))
  t.match((await refresh(await session())).accessTokens, [{ tokenType: 'Bearer' }])
  const wrong = [
    faults.members({ token_type: 'mac' }), faults.members({ token_type: 'DPoP' }), faults.without('token_type'),
    faults.without('access_token'), faults.members({ access_token: 5 }), faults.members({ access_token: null }), faults.members({ access_token: '' })
  ]
  for (const fault of wrong) {
    const error = await failure(fault)
    t.match(error, { name: 'AnswerError', status: 200 })
    t.equal(classifyFailure(error).class, 'badResponse')
    t.ok(error instanceof AnswerError && server.isAlive(error.salvagedRefreshToken() ?? ''), 'and its refresh token is not lost')
  }
})

test('R9 expires_in counts from when the request was sent, and may be text, a fraction, 0, negative or missing', async (t) => {
  const { server, clock, session, refresh } = await tokenServiceBench(t)
  const cases: Array<[unknown, number | undefined]> = [
    [60, 60], ['60', 60], [1.5, 1.5], ['1.5', 1.5], [0, 0], [-5, 0], ['-5', 0],
    [null, undefined], ['', undefined], ['soon', undefined], [{}, undefined], [1e300, 1e300]
  ]
  for (const [given, lifetime] of cases) {
    const gate = server.hold()
    server.fault(faults.members({ expires_in: given }))
    const sentAt = clock.now
    const refreshing = refresh(await session())
    await gate.arrived()
    clock.now += 30
    gate.release()
    const token = first((await refreshing).accessTokens)
    t.equal(token.expiresAt, lifetime === undefined ? undefined : sentAt + lifetime, `expires_in ${JSON.stringify(given)}`)
  }
})

test('R9 without expires_in the exp of a JWT counts, else the option, else there is no expiry: never the old one', async (t) => {
  const { server, clock, session, refresh } = await tokenServiceBench(t)
  server.settings.accessTokenFormat = 'jwt'
  server.fault(faults.without('expires_in'))
  const [jwt] = (await refresh(await session())).accessTokens
  t.ok(Math.abs((jwt?.expiresAt ?? 0) - clock.now - 300) < 5)

  server.settings.accessTokenFormat = 'opaque'
  server.fault(faults.without('expires_in'))
  const opaque = first((await refresh(await session())).accessTokens)
  t.equal(opaque.expiresAt, undefined)
  t.notOk(isExpired(opaque, Number.MAX_SAFE_INTEGER))
  t.notOk(needsRefresh(opaque, Number.MAX_SAFE_INTEGER, 60))
  for (const token of ['not.a.jwt', 'e30.W10.', 'e30.eyJleHAiOiJzb29uIn0.']) {
    server.fault(faults.all(faults.without('expires_in'), faults.members({ access_token: token })))
    t.equal((await refresh(await session())).accessTokens[0]?.expiresAt, undefined, 'an exp that is no number is none')
  }

  const byOption = await tokenServiceBench(t, { defaultExpiresIn: 120 })
  byOption.server.fault(faults.without('expires_in'))
  t.equal((await byOption.refresh(await byOption.session())).accessTokens[0]?.expiresAt, byOption.clock.now + 120)
})

test('a token is due inside the window, at half of a short lifetime, and when it seems to come from the future', async (t) => {
  const token = { accessToken: 'x', tokenType: 'Bearer', issuedAt: 1000, generation: 0, expiresAt: 1300 } as const
  const due: Array<[number, boolean]> = [[1000, false], [1239, false], [1240, true], [1300, true], [941, false], [939, true]]
  for (const [now, expected] of due) t.equal(needsRefresh(token, now, 60), expected, `at ${now}`)
  t.notOk(needsRefresh({ ...token, expiresAt: 1010 }, 1004, 60))
  t.ok(needsRefresh({ ...token, expiresAt: 1010 }, 1005, 60))
  t.notOk(isExpired(token, 1299))
  t.ok(isExpired(token, 1300))
})

test('R10 R11 R12 R47 what the answer leaves out is kept, and what nobody knows is ignored', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t)
  const first = await session()
  server.fault(faults.members({ unknown: { deep: [1] }, session_state: 'x' }))
  const second = await refresh(first)
  t.equal(second.refreshToken, server.familyOf(first.refreshToken)?.newestRefreshToken, 'the new refresh token replaces the old one')
  t.not(second.idToken, first.idToken)
  t.match(second, { sessionId: first.sessionId, startedAt: first.startedAt, generation: 1 })
  t.strictSame(Object.keys(second).sort(), Object.keys(first).sort())

  server.settings.rotation = 'none'
  server.fault(faults.without('scope', 'id_token', 'refresh_token'))
  const third = await refresh({ ...second, refreshToken: second.refreshToken ?? '' })
  t.match(third, { refreshToken: second.refreshToken, idToken: second.idToken, generation: 2 })
  t.equal(third.accessTokens[0]?.scope, 'openid offline_access', 'the scope of before')

  server.fault(faults.all(faults.without('scope'), faults.members({ refresh_token: '', id_token: null })))
  const fourth = await refresh({ ...third, refreshToken: third.refreshToken ?? '' }, { scope: 'openid' })
  t.match(fourth, { refreshToken: third.refreshToken, idToken: third.idToken })
  t.match(fourth.accessTokens[1], { scope: 'openid' }, 'R11 the scope asked for')
})

test('R12 tokens may be of any size and format', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t, { server: { tokenBytes: 20_000 } })
  const odd = '~!@#$%^&*()_+"quoted"\\{json:true}'
  server.fault(faults.members({ access_token: odd }))
  const next = await refresh(await session())
  t.equal(next.accessTokens[0]?.accessToken, odd)
  t.equal(next.refreshToken?.length, 26_667)
})
