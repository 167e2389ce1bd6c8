import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { processRefreshTokenResponse } from 'oauth4webapi'
import { test } from 'tap'
import { drip } from '../support/authorization-server/deliveries.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { startApp } from '../support/start-app.ts'
import { clientSecret, first, tokenServiceBench } from '../support/token-service-bench.ts'
import { classifyFailure, errorOf } from '../../lib/refresh/failure.ts'
import { revocableTokens } from '../../lib/tokens/revocation.ts'
import { judgeTokens } from '../../lib/token-service/judge.ts'
import { AnswerError } from '../../lib/token-service/token-response.ts'

test('R15 to R19 what a failure of the token service means for the session', async (t) => {
  const { server, session, refresh, failure } = await tokenServiceBench(t)
  const error = faults.oauthError
  const meanings: Record<string, Record<string, Fault>> = {
    ended: {
      'invalid_grant 400': error('invalid_grant'),
      'R16 invalid_grant 401': error('invalid_grant', 401, { 'www-authenticate': 'Basic realm="x"' }),
      'R16 invalid_grant 403': error('invalid_grant', 403),
      'R16 invalid_grant 200': error('invalid_grant', 200),
      'R15 with description and uri': faults.answer(400, { error: 'invalid_grant', error_description: 'x', error_uri: 'https://x.example' })
    },
    refused: {
      'R17 invalid_client 401': error('invalid_client', 401, { 'www-authenticate': 'Basic realm="x"' }),
      ...Object.fromEntries(['invalid_client', 'incorrect_client_credentials', 'unsupported_grant_type', 'use_dpop_nonce', 'invalid_dpop_proof'].map((code) => [`R17 ${code}`, error(code)])),
      '404 as html': faults.html(404),
      '404 empty': faults.empty(404)
    },
    unavailable: {
      'R18 429': faults.retryAfter(429, 7),
      'R18 503': faults.retryAfter(503, 7),
      'R18 500 empty': faults.empty(500),
      'R18 502 html': faults.html(502),
      'R18 500 with invalid_grant': error('invalid_grant', 500),
      'R18 429 with invalid_request': error('invalid_request', 429),
      'temporarily_unavailable 400': error('temporarily_unavailable'),
      'server_error 400': error('server_error')
    },
    rejected: {
      ...Object.fromEntries(['unauthorized_client', 'invalid_scope', 'invalid_target', 'invalid_request', 'something_else', 'urn:example:odd/code?'].map((code) => [`R17 ${code}`, error(code)])),
      '400 empty': faults.empty(400),
      '401 html': faults.html(401),
      '403 empty': faults.empty(403),
      '400 with an error that is no text': faults.answer(400, { error: 5 }),
      '400 with a list': faults.answer(400, []),
      'F7 400 with a phrase': error('Bad Request'),
      'F7 401 with an object': faults.answer(401, { error: { code: 'invalid_grant', message: 'x' } }),
      'F7 403 with a list of errors': faults.answer(403, { errors: [{ code: 'invalid_grant' }] }),
      'F7 400 with a code that is endless': error('x'.repeat(65)),
      login_required: error('login_required'),
      interaction_required: error('interaction_required')
    },
    badResponse: {
      'a redirect': faults.redirect('https://elsewhere.example/'),
      '200 html': faults.html(),
      '200 empty': faults.empty(200),
      '200 cut off': faults.notJson(),
      '200 with an empty error': faults.answer(200, { error: '' }),
      '200 with a list': faults.answer(200, []),
      201: faults.answer(201, { access_token: 'x', token_type: 'Bearer' }),
      204: faults.empty(204)
    },
    ambiguous: {
      'R19 reset before the answer': faults.resetBefore(),
      'R19 reset after the processing': faults.resetAfter()
    }
  }
  for (const [meaning, cases] of Object.entries(meanings)) {
    for (const [title, fault] of Object.entries(cases)) t.equal(classifyFailure(await failure(fault)).class, meaning, `${title} is ${meaning}`)
  }
  const tokens = await session()
  await server.refuseConnections()
  const refused = await refresh(tokens).catch((error: unknown) => error)
  t.match(refused, { name: 'BackchannelError', sent: false, message: /ECONNREFUSED/ })
  t.equal(classifyFailure(refused).class, 'unavailable', 'R18 a connection that is refused')
  const classified = classifyFailure(refused)
  t.equal(classifyFailure(classified), classified)
  t.equal(classifyFailure('thrown').class, 'badResponse', 'what nobody foresaw is no reason to end a session')
})

test('R18 Retry-After is seconds or a date, and the caller is told of it', async (t) => {
  const { failure } = await tokenServiceBench(t)
  const secondsOf = async (after: string): Promise<number | undefined> => classifyFailure(await failure(faults.retryAfter(503, after))).retryAfter
  t.equal(await secondsOf('7'), 7)
  t.equal(await secondsOf('0'), 0)
  t.equal(await secondsOf('12.5'), 12.5, 'and no day in December')
  t.equal(await secondsOf('-5'), 0)
  const later = await secondsOf(new Date(Date.now() + 100_000).toUTCString()) ?? 0
  t.ok(later > 0 && later <= 100)
  t.equal(await secondsOf(new Date(0).toUTCString()), 0, 'a date that is over')
  for (const nonsense of ['soon', '-5 apples']) t.equal(await secondsOf(nonsense), undefined, nonsense)

  const error = errorOf(classifyFailure(await failure(faults.retryAfter(429, 7))))
  t.match(error, { code: 'FST_TOKEN_SERVICE_UNAVAILABLE', statusCode: 503, headers: { 'retry-after': '7' }, message: /in 7 s/ })
})

test('R46 a refreshed id_token of another issuer, subject, audience or party is refused, and ends the session', async (t) => {
  const { server, service, dispatcher, session } = await tokenServiceBench(t)
  server.settings.idTokenClaims = { azp: 'web' }
  const wrong = [
    { iss: 'https://mallory.example' }, { sub: 'mallory' }, { aud: 'other' }, { aud: ['web', 'other'] },
    { azp: 'other' }, { azp: undefined }, { nonce: 'replayed' }
  ]
  for (const claims of wrong) {
    server.fault(faults.idToken(claims))
    const error = await service.refresh(await session({ nonce: 'a nonce' }), {}, dispatcher).catch((error: unknown) => error)
    t.match(error, { name: 'AnswerError', wrongIdentity: true }, JSON.stringify(claims))
    t.equal(classifyFailure(error).class, 'wrongIdentity')
    t.ok(error instanceof AnswerError && server.isAlive(error.salvagedRefreshToken() ?? ''), 'what was issued can be revoked')
  }
  server.settings.idTokenClaims = { azp: 'web' }
  const ofTwo = await session({ nonce: 'a nonce' })
  server.fault(faults.idToken({ aud: ['other', 'web'] }))
  t.match(await service.refresh({ ...ofTwo, identity: { ...ofTwo.identity, aud: ['web', 'other'] } }, {}, dispatcher), { generation: 1 }, 'audiences come in any order')
  server.fault(faults.idToken({ nonce: 'a nonce' }))
  t.match(await service.refresh(await session({ nonce: 'a nonce' }), {}, dispatcher), { generation: 1 }, 'the same nonce is fine')
  const { idToken, identity, ...withoutIdToken } = await session()
  t.match(await service.refresh(withoutIdToken, {}, dispatcher), { idToken: String, identity: { sub: 'alice' } }, 'a first one is taken as it is')
})

test('R22 R23 a revocation names the token and its kind, authenticates, and takes 200 for an answer', async (t) => {
  const { server, service, dispatcher, session } = await tokenServiceBench(t)
  const { refreshToken } = await session()
  await service.revoke([{ token: refreshToken, hint: 'refresh_token' }], dispatcher)
  t.match(first(server.requestsTo('revocation')), {
    method: 'POST',
    headers: { authorization: /^Basic / },
    params: { token: refreshToken, token_type_hint: 'refresh_token' },
    clientAuthentication: 'client_secret_basic'
  })
  t.notOk(server.isAlive(refreshToken))
  await service.revoke([{ token: 'unknown', hint: 'access_token' }], dispatcher)
  t.equal(server.revocations, 2)
})

test('R23 R24 a revocation that fails says why, and without an endpoint there is nothing to call', async (t) => {
  const { server, service, dispatcher } = await tokenServiceBench(t)
  server.fault(faults.retryAfter(503, 5), 1, 'revocation')
  t.match(await service.revoke([{ token: 'x', hint: 'refresh_token' }], dispatcher).catch((error: unknown) => error), { name: 'AnswerError', status: 503, retryAfter: 5 })
  server.fault(faults.oauthError('unsupported_token_type'), 2, 'revocation')
  t.match(await service.revoke([{ token: 'x', hint: 'refresh_token' }], dispatcher).catch((error: unknown) => error), { name: 'AnswerError', error: 'unsupported_token_type' })
  await service.revoke([{ token: 'x', hint: 'access_token' }, { token: 'y', hint: 'access_token' }], dispatcher)
  t.equal(server.revocations, 3, 'a service that revokes no access tokens is not asked for the next one')

  const none = await tokenServiceBench(t, { metadata: { revocation_endpoint: undefined } })
  await none.service.revoke([{ token: 'x', hint: 'refresh_token' }], none.dispatcher)
  t.equal(none.server.requests.length, 0)
})

test('the revocations of one session share one deadline, and are a bounded number of what can still be used', async (t) => {
  const { server, service, dispatcher, session, refresh } = await tokenServiceBench(t, { requestTimeout: 1 })
  let tokens = await session()
  for (let index = 0; index < 12; index++) tokens = { ...tokens, ...await refresh(tokens, { resource: `https://api.example.com/${index}` }) }
  const { refreshToken, accessTokens: [, ...others] } = tokens
  t.equal(others.length, 12)
  const revocable = revocableTokens({ ...tokens, accessTokens: [{ ...first(tokens.accessTokens), expiresAt: 1 }, ...others] }, 2)
  t.strictSame(revocable.map(({ token }) => token), [refreshToken, ...others.slice(0, 9).map(({ accessToken }) => accessToken)], 'not the expired one')

  server.fault(faults.all(faults.answer(200, 'x'.repeat(12)), { deliver: drip(50) }), 2, 'revocation')
  await t.rejects(service.revoke(revocable, dispatcher), { name: 'BackchannelError', sent: true }, '0.6 s each, and 1 s for all')
  t.equal(server.revocations, 2)
})

test('R7 the deadlines hold though the garbage collector runs meanwhile', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const { server, service, dispatcher, session, refresh } = await tokenServiceBench(t, { requestTimeout: 0.3 })
  const tokens = await session()
  const calls: Array<['token' | 'revocation', () => Promise<unknown>]> = [
    ['token', () => refresh(tokens)],
    ['revocation', () => service.revoke([{ token: 'x', hint: 'access_token' }], dispatcher)]
  ]
  for (const [endpoint, call] of calls) {
    const gate = server.hold({ endpoint })
    const failing = t.rejects(call(), { name: 'BackchannelError', message: /not within 0.3 s/ }, endpoint)
    await gate.arrived()
    collectGarbage()
    await failing
  }
})

test('R8 R10 the refresh token of an answer that cannot be used is kept, since the old one is spent', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 60 })
  t.teardown(() => server.close())
  const { login, clock } = await startApp(t, server)
  const browser = await login()
  clock.now += 61
  server.fault(faults.members({ token_type: 'mac' }))
  t.match(await browser.get('/token'), { status: 502, json: { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE' } })
  clock.now += 30
  t.match(await browser.get('/token'), { status: 200, json: { token: String } })
  const [old, kept] = server.requestsTo('token').map(({ params }) => params.refresh_token)
  t.not(kept, old)
  t.ok(server.isAlive(old ?? ''), 'nothing was spent twice')
})

/** An error as any logger or debugger may print it: causes, hidden members, stacks and all. */
function everythingOf (error: unknown): string {
  const texts = [inspect(error, { depth: Infinity, showHidden: true, maxStringLength: Infinity, maxArrayLength: Infinity })]
  const seen = new Set<unknown>()
  const walk = (value: unknown): void => {
    if (typeof value === 'string') texts.push(value)
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    texts.push(JSON.stringify(value, (key, member: unknown) => key === '' || !seen.has(member) ? member : undefined))
    for (const key of Reflect.ownKeys(value)) walk(Reflect.get(value, key))
  }
  walk(error)
  return texts.join('\n')
}

test('R14 no failure tells a token, a secret or what the answer said', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t, { requestTimeout: 0.3 })
  const leak = 'LEAKED0aB1cD2eF3gH4iJ5'
  const tokens = { access_token: `${leak}-a`, refresh_token: `${leak}-r`, id_token: `${leak}.${leak}.${leak}`, token_type: 'Bearer' }
  const cases: Record<string, Fault> = {
    'an OAuth error with tokens beside it': faults.answer(400, { error: 'invalid_grant', error_description: leak, error_uri: leak, ...tokens }),
    'an error that is a token': faults.answer(400, { error: leak }),
    'an error that is no code': faults.answer(400, { error: `${leak} ${leak}` }),
    'tokens of another type': faults.members({ token_type: 'mac' }),
    'tokens with an id_token of somebody else': faults.all(faults.members(tokens), faults.idToken({ sub: leak })),
    'an access token that no header can carry': faults.answer(200, { ...tokens, access_token: `${leak}\r\nx` }),
    'a refresh token that is not printable': faults.answer(200, { ...tokens, refresh_token: `${leak}\u0000` }),
    'a token that is none': faults.answer(200, { ...tokens, access_token: { leak } }),
    'half an answer': faults.answer(200, JSON.stringify(tokens).slice(0, -1), { 'content-type': 'application/json' }),
    'a page': faults.answer(200, `<p>${leak}</p>`),
    'a challenge': faults.answer(401, leak, { 'www-authenticate': `Bearer error="${leak}"` }),
    'a redirect': faults.redirect(`https://elsewhere.example/?token=${leak}`),
    'an outage': faults.answer(502, leak),
    'another identity': faults.idToken({ sub: 'mallory' }),
    'an answer too large': faults.huge(),
    silence: faults.silence(),
    'headers and no more': faults.headersThenSilence(),
    'a reset': faults.resetAfter()
  }
  for (const [title, fault] of Object.entries(cases)) {
    const previous = await session()
    server.fault(fault)
    const error = await refresh(previous).then(() => t.fail(title), (error: unknown) => error)
    const failure = classifyFailure(error)
    const family = server.familyOf(previous.refreshToken)
    const secrets = [leak, clientSecret, Buffer.from('web:a+client+secret').toString('base64'), previous.refreshToken, family?.newestRefreshToken ?? '', ...previous.accessTokens.map(({ accessToken }) => accessToken), previous.idToken ?? '']
    const texts = [error, failure, errorOf(failure)].map(everythingOf).join('\n')
    for (const one of secrets) t.notOk(texts.includes(one), `${title} tells nothing`)
  }
})

test('a token response with another status of success is one: its refresh token is not lost', async (t) => {
  const body = { access_token: 'a', token_type: 'Bearer', refresh_token: 'r' }
  const { response } = await judgeTokens({ status: 201, body }, (answer) => processRefreshTokenResponse({ issuer: 'https://idp.example.com' }, { client_id: 'web' }, answer), { tokenType: 'Bearer', idToken: 'byProduct' })
  t.match(response, { access_token: 'a', refresh_token: 'r' })
})
