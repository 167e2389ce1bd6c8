import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'tap'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { ages, startScenario } from '../support/scenario.ts'
import { clientSecret, first, tokenServiceBench } from '../support/token-service-bench.ts'
import { clientSecretPost } from '../../lib/index.ts'
import { masked, secretsOf } from '../../lib/token-service/secrets.ts'
import { AnswerError } from '../../lib/token-service/token-response.ts'

/** The members of a warning that something was left out. */
const dropped = (member: string, problem: RegExp | string = /./) => [{ member, problem }, /it is left out/]

test('F9 a refreshed id_token that does not validate is left out and said, and the tokens count', async (t) => {
  const past = { exp: 1, iat: 0 }
  const byProducts: Record<string, Fault> = {
    'has expired': faults.idToken(past),
    'comes from the future': faults.idToken({ nbf: Date.now() / 1000 + 7200 }),
    'names no subject': faults.idToken({ sub: undefined }),
    'has no expiry': faults.idToken({ exp: undefined }),
    'is no JWT': faults.members({ id_token: 'no.jwt' }),
    'is a text': faults.members({ id_token: 'text' }),
    'is encrypted': faults.members({ id_token: 'a.b.c.d.e' }),
    'is a number': faults.members({ id_token: 5 }),
    'is an object': faults.members({ id_token: { sub: 'alice' } }),
    'is a list': faults.members({ id_token: ['a.b.c'] })
  }
  for (const [title, fault] of Object.entries(byProducts)) {
    const { server, warnings, session, refresh } = await tokenServiceBench(t)
    server.fault(fault, 2)
    for (const tokens of [await session(), await session()]) {
      t.match(await refresh(tokens), { generation: 1, idToken: tokens.idToken, refreshToken: server.familyOf(tokens.refreshToken)?.newestRefreshToken }, title)
    }
    t.match(warnings, [dropped('id_token')])
    t.equal(warnings.length, 1, `${title}: said once`)
  }
})

test('F9 R46 an id_token of another identity is refused, also where it has expired or lacks something else', async (t) => {
  const { server, service, dispatcher, session } = await tokenServiceBench(t)
  for (const claims of [{ sub: 'mallory' }, { iss: 'https://mallory.example' }, { aud: 'other' }, { azp: 'other' }]) {
    for (const more of [{ exp: 1, iat: 0 }, { exp: undefined }]) {
      server.fault(faults.idToken({ ...claims, ...more }))
      const error: unknown = await service.refresh(await session(), {}, dispatcher).catch((error: unknown) => error)
      t.match(error, { name: 'AnswerError', wrongIdentity: true }, JSON.stringify({ ...claims, ...more }))
      t.ok(error instanceof AnswerError && server.isAlive(error.salvagedRefreshToken() ?? ''))
    }
  }
})

test('F9 F10 a scope, a lifetime and a refresh token of strange types cost no tokens', async (t) => {
  const members: Array<[object, object, string?]> = [
    [{ scope: ['a', 'b'] }, { scope: 'a b' }],
    [{ scope: [] }, { scope: 'openid offline_access' }, 'scope'],
    [{ scope: ['a', 5] }, { scope: 'openid offline_access' }, 'scope'],
    [{ scope: { a: true } }, { scope: 'openid offline_access' }, 'scope'],
    [{ scope: null }, { scope: 'openid offline_access' }],
    [{ expires_in: {} }, { expiresAt: undefined }, 'expires_in'],
    [{ expires_in: [300] }, { expiresAt: undefined }, 'expires_in'],
    [{ expires_in: true }, { expiresAt: undefined }, 'expires_in'],
    [{ expires_in: 'soon' }, { expiresAt: undefined }, 'expires_in'],
    [{ expires_in: '0x10' }, { expiresAt: undefined }, 'expires_in'],
    [{ expires_in: null, refresh_token: null, id_token: null }, {}],
    [{ unknown: [null, { deep: 1 }] }, {}]
  ]
  for (const [given, expected, left] of members) {
    const { server, warnings, session, refresh } = await tokenServiceBench(t)
    server.fault(faults.members({ ...given }))
    t.match(first((await refresh(await session())).accessTokens), expected, JSON.stringify(given))
    t.match(warnings, left === undefined ? [] : [dropped(left)])
    t.equal(warnings.length, left === undefined ? 0 : 1)
  }
  for (const refreshToken of [5, {}, ['a']]) {
    const { server, warnings, session, refresh } = await tokenServiceBench(t)
    server.fault(faults.members({ refresh_token: refreshToken }))
    const tokens = await session()
    t.match(await refresh(tokens), { generation: 1, refreshToken: tokens.refreshToken }, 'the refresh token of before')
    t.match(warnings, [dropped('refresh_token')])
  }
})

test('F9 F10 the same of tokens that the app saves', async (t) => {
  const { login, save, log } = await startScenario(t)
  const tokens = { access_token: 'a', token_type: 'Bearer', refresh_token: 'r' }
  t.match((await (await save({ ...tokens, scope: ['a', 'b'], expires_in: '300', id_token: { sub: 'x' } })).get('/tokens')).json, { accessTokens: [{ accessToken: 'a', scope: 'a b' }], idToken: undefined })
  t.match((await (await save({ ...tokens, scope: 5, expires_in: ['x'], refresh_token: 7 })).get('/tokens')).json, { accessTokens: [{ accessToken: 'a', scope: undefined, expiresAt: undefined }], refreshToken: undefined })
  for (const member of ['id_token', 'scope', 'expires_in', 'refresh_token']) t.equal(log.filter((line) => line.includes(`"member":"${member}"`)).length, 1, member)
  t.equal((await (await login()).get('/token')).status, 200)
})

test('F13 without expires_in the lifetime of a JWT is exp less the Date of the answer, else exp less iat, whatever the own clock says', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  const jwt = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`
  const answers: Array<[title: string, token: string, date: string, lifetime: number | undefined]> = [
    ['by Date', jwt({ iat: now - 100, exp: now + 300 }), new Date(now * 1000).toUTCString(), 300],
    ['by Date, and no iat', jwt({ exp: now + 300 }), new Date(now * 1000).toUTCString(), 300],
    ['by a Date of another year', jwt({ iat: 0, exp: 300 }), new Date(0).toUTCString(), 300],
    ['by a Date after exp', jwt({ exp: now - 300 }), new Date(now * 1000).toUTCString(), 0],
    ['no Date', jwt({ iat: now - 100, exp: now + 300 }), 'nonsense', 400],
    ['neither Date nor iat', jwt({ exp: now + 300 }), 'nonsense', undefined],
    ['no exp', jwt({ iat: now }), new Date(now * 1000).toUTCString(), undefined]
  ]
  for (const offset of [-3600, 0, 3600]) {
    for (const [title, token, date, lifetime] of answers) {
      const { server, clock, session, refresh } = await tokenServiceBench(t)
      clock.now += offset
      server.fault({ alter: (answer) => ({ ...answer, headers: { ...answer.headers, date }, body: { access_token: token, token_type: 'Bearer' } }) })
      const { issuedAt, expiresAt } = first((await refresh(await session())).accessTokens)
      t.equal(expiresAt === undefined ? undefined : expiresAt - issuedAt, lifetime, `${title}, own clock ${offset}`)
    }
  }
})

test('F13 a clock that is an hour ahead takes no fresh token for an expired one, at refresh and where the app saves it', async (t) => {
  const { server, save, clock } = await startScenario(t, {}, { accessTokenFormat: 'jwt' })
  clock.now += 3600
  server.settings.clock = () => Date.now() / 1000
  const { expires_in: _, ...tokens } = await server.issue()
  const browser = await save(tokens)
  t.match((await browser.get('/tokens')).json, { generation: 0, accessTokens: [{ expiresAt: clock.now + 300 }] })
  clock.now += ages.expired
  server.fault(faults.without('expires_in'), 2)
  t.equal((await browser.get('/token')).status, 200)
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.tokenRequests, 1)
})

test('F53 tokens that no header or form can carry are refused wherever they come in, untold, and a good refresh token beside one is kept', async (t) => {
  const { server, service, dispatcher, session, failure } = await tokenServiceBench(t)
  const bad = ['secret\r\nx: y', 'secret token', 'secret\u0000', 'sécret', '\u{1F511}secret', 'secret\u007F']
  for (const token of bad) {
    const error = await failure(faults.members({ access_token: token }))
    t.match(error, { name: 'AnswerError', message: /access_token holds characters/ })
    t.notOk(String(error).includes('cret'))
    t.ok(error instanceof AnswerError && server.isAlive(error.salvagedRefreshToken() ?? ''))
    for (const ask of [() => service.clientCredentials({}, undefined, dispatcher), async () => {
      const tokens = await session()
      return await service.exchange({ tokens, token: first(tokens.accessTokens) }, new URLSearchParams({ subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' }), dispatcher)
    }]) {
      server.fault(faults.answer(200, { access_token: token, token_type: 'Bearer', issued_token_type: 'x' }))
      await t.rejects(ask(), { name: 'AnswerError', message: /access_token holds characters/ })
    }
    await t.rejects(service.adopt({ access_token: token, token_type: 'Bearer' }, undefined), { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', message: /access_token holds characters/ })
    if (token === 'secret token') continue
    const refused = await failure(faults.members({ refresh_token: token }))
    t.match(refused, { name: 'AnswerError', message: /refresh_token holds characters/ })
    t.equal(refused instanceof AnswerError && refused.salvagedRefreshToken(), undefined)
    await t.rejects(service.adopt({ access_token: 'a', token_type: 'Bearer', refresh_token: token }, undefined), { code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', message: /refresh_token holds characters/ })
  }
  server.fault(faults.members({ access_token: '00D!AQ~"quoted"\\', refresh_token: 'with a space' }))
  t.match(await service.refresh(await session(), {}, dispatcher), { accessTokens: [{ accessToken: '00D!AQ~"quoted"\\' }], refreshToken: 'with a space' })
})

test('F53 an error that is something secret is not told', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t, { server: { clientSecret: 'topsecret' } })
  const tokens = await session()
  for (const error of [tokens.refreshToken, `invalid:${tokens.refreshToken}`, 'topsecret', randomBytes(24).toString('hex')]) {
    server.fault(faults.oauthError(error))
    const refused: unknown = await refresh(tokens).catch((reason: unknown) => reason)
    t.match(refused, { name: 'AnswerError', status: 400, error: undefined, message: 'status 400' })
    t.notOk(JSON.stringify(refused).includes(error))
  }
})

test('F6 F7 F16 an error in a 200 is one, and one without a code is a refusal without a code', async (t) => {
  const { server, session, refresh, failure } = await tokenServiceBench(t)
  const cases: Array<[Fault, object]> = [
    [faults.oauthError('invalid_refresh_token', 200), { status: 200, error: 'invalid_refresh_token', isRefusal: true }],
    [faults.oauthError('urn:example:odd/code?', 400), { status: 400, error: 'urn:example:odd/code?', isRefusal: true }],
    [faults.oauthError('Bad Request', 400), { status: 400, error: undefined, description: 'Bad Request', isRefusal: true }],
    [faults.oauthError('Bad Request', 200), { status: 200, error: undefined, description: 'Bad Request', isRefusal: true }],
    [faults.answer(401, { error: { code: 'invalid_grant' } }), { status: 401, error: undefined, isRefusal: true }],
    [faults.answer(200, { error: { code: 'invalid_grant' } }), { status: 200, error: undefined, isRefusal: true }],
    [faults.answer(200, { errors: [{ code: 'x' }] }), { status: 200, error: undefined, isRefusal: true }],
    [faults.html(403), { status: 403, error: undefined, isRefusal: true }],
    [faults.html(200), { status: 200, error: undefined, isRefusal: false }],
    [faults.redirect('https://elsewhere.example/'), { status: 301, error: undefined, isRefusal: false }],
    [faults.members({ token_type: 'mac' }), { status: 200, wrongTokenType: true, isRefusal: false }],
    [faults.without('token_type'), { status: 200, wrongTokenType: false }]
  ]
  for (const [fault, expected] of cases) t.match(await failure(fault), { name: 'AnswerError', ...expected }, JSON.stringify(expected))
  for (const error of [null, '', false, 0, 'No error', { code: 0 }]) {
    server.fault(faults.members({ error }))
    t.match(await refresh(await session()), { generation: 1 }, `and ${JSON.stringify(error)} beside tokens says nothing against them`)
  }
})

test('F56 what the provider says of an error is kept for the log: printable, cut, and without what is or looks like a secret', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t)
  const tokens = await session()
  const { refreshToken, idToken = '' } = tokens
  const opaque = randomBytes(32).toString('base64url')
  const basic = Buffer.from('web:a+client+secret').toString('base64')
  const secrets = [refreshToken, clientSecret, 'a+client+secret', basic, idToken, opaque, randomBytes(20).toString('hex'), randomBytes(30).toString('base64'), randomUUID(), `eyJhbGciOiJub25lIn0.${opaque}.`]
  for (const secret of secrets) {
    server.fault(faults.answer(400, { error: 'invalid_grant', error_description: `AADSTS70008: The refresh token ${secret} has expired due to inactivity.` }))
    const error: unknown = await refresh(tokens).catch((reason: unknown) => reason)
    t.match(error, { error: 'invalid_grant', description: /^AADSTS70008: The refresh token \*+[.=]* has expired due to inactivity\.$/ }, secret)
    t.notOk(JSON.stringify(error).includes(secret))
    t.match(JSON.stringify(error), /AADSTS70008/, 'as a logger prints it')
    t.notOk(String(error).includes('AADSTS'), 'and it is in no message')
  }
  const describe = async (description: unknown): Promise<unknown> => {
    server.fault(faults.answer(400, { error: 'invalid_grant', error_description: description }))
    const error: unknown = await refresh(tokens).catch((reason: unknown) => reason)
    return error instanceof AnswerError ? error.description : error
  }
  t.equal(await describe('ein\u0000\u001B[31m Zeilen\r\numbruch\u202E, für alle'), 'ein [31m Zeilen umbruch , für alle')
  t.match(await describe('word '.repeat(1000)), /^(word ){60}…$/)
  t.equal(String(await describe(`${'word '.repeat(59)}${refreshToken}`)).includes(refreshToken.slice(0, 5)), false, 'what is cut is masked before')
  for (const none of [undefined, null, '', 5, {}, ['x'], '\r\n']) t.equal(await describe(none), undefined)
})

test('F56 what the app adds to a request is masked, too, and all credentials of every kind of request', async (t) => {
  const { failure } = await tokenServiceBench(t, { headers: { 'x-api-key': 'key-of-the-app' }, parameters: { refresh: { tenant_key: 'hush-hush' } } })
  t.match(await failure(faults.answer(400, { error: 'invalid_grant', error_description: 'neither key-of-the-app nor hush-hush' })), { description: 'neither *** nor ***' })

  const secrets = { code: 'c', code_verifier: 'v', client_secret: 's', client_assertion: 'a', subject_token: 'st', actor_token: 'at', token: 't', refresh_token: 'r' }
  const known = secretsOf({ method: 'POST', headers: { accept: 'application/json', authorization: `Basic ${Buffer.from('web:p%20w').toString('base64')}`, dpop: 'the-proof' }, body: new URLSearchParams({ grant_type: 'authorization_code', client_id: 'web-client', ...secrets }) })
  for (const secret of [...Object.values(secrets), 'p w', 'p%20w', 'the-proof']) t.ok(known.includes(secret), secret)
  for (const word of ['web-client', 'authorization_code', 'application/json', '']) t.notOk(known.includes(word), word)
  t.strictSame(secretsOf({ method: 'GET', headers: {} }), [])
})

test('F56 a secret is masked in each form in which it comes back', async (t) => {
  for (const clientSecret of ['correct horse & battery', 'say "hi"\tto  me', 'hunter2', 'Tr0ub4dor&3']) {
    const secrets = secretsOf({ method: 'POST', headers: {}, body: new URLSearchParams({ client_secret: clientSecret }) })
    const forms = [clientSecret, new URLSearchParams({ client_secret: clientSecret }).toString(), encodeURIComponent(clientSecret), JSON.stringify(clientSecret), Buffer.from(clientSecret).toString('base64')]
    for (const form of forms) t.match(masked(`cannot parse ${form}`, secrets, 300), /^cannot parse (client_secret=|")?\*\*\*"?$/, form)
  }
  const { failure } = await tokenServiceBench(t, { clientAuthentication: clientSecretPost('Tr0ub4dor&3') })
  t.match(await failure(faults.oauthError('bad_secret:Tr0ub4dor&3')), { error: undefined, message: 'status 400' }, 'F53 nor is an error told that holds it')
})

test('F56 no answer to a browser holds what the provider has described', async (t) => {
  const { server, loginAged, check } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  server.fault(faults.answer(400, { error: 'invalid_grant', error_description: 'AADSTS1: the details' }))
  const answer = await browser.get('/token')
  t.notOk(answer.text.includes('AADSTS1'))
  await check(answer, { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1, told: ['failed: ended, the end'] })
})
