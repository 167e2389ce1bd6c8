import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { sessionKey } from '../../lib/testing/provider/session-key.ts'
import { Browser } from '../support/browser.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'
import { proofOf } from '../support/proof.ts'
import { ages, startScenario } from '../support/scenario.ts'
import { startApp } from '../support/start-app.ts'
import { first, tokenServiceBench } from '../support/token-service-bench.ts'
import { clientSecretBasic } from '../../lib/index.ts'
import { generateDpopKey } from '../../lib/token-service/dpop.ts'

const dpop = { dpop: true, dpopNonce: null } as const
const refreshed = { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] } as const
const retried = { ...refreshed, tokenRequests: 2 } as const

test('R31 R32 R33 every refresh carries a proof of its own, made with the one key of the session', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t, {}, { ...dpop, bindRefreshTokens: true })
  const browser = await loginAged(ages.expired)
  await check(await browser.get('/token'), refreshed)
  await check(await browser.get('/renew'), refreshed)

  const proofs = server.requestsTo('token').map(proofOf)
  for (const { header, claims } of proofs) {
    t.match(header, { typ: 'dpop+jwt', alg: 'ES256' })
    t.strictSame(Object.keys(header.jwk ?? {}).sort(), ['crv', 'kty', 'x', 'y'], 'the public key, and no more of it')
    t.match(claims, { htm: 'POST', htu: `${server.issuer}/token` })
    t.ok(Math.abs(Number(claims.iat) - clock.now) <= 2, 'by the clock of the app')
    t.notOk('ath' in claims, 'a refresh token is no access token')
  }
  t.equal(new Set(proofs.map(({ claims }) => claims.jti)).size, 2)
  t.equal(new Set(server.requestsTo('token').map(({ proof }) => proof?.jkt)).size, 1)
  t.match((await browser.get('/tokens')).json, { accessTokens: [{ tokenType: 'DPoP' }], dpopKey: { d: String } })
})

test('R32 the query of the token endpoint is no part of htu', async (t) => {
  const { server, session } = await tokenServiceBench(t, { server: dpop })
  const { refresh } = await tokenServiceBench(t, { metadata: { issuer: server.issuer, token_endpoint: `${server.issuer}/token?tenant=a` } })
  await refresh(await session())
  t.match(first(server.requestsTo('token')), { status: 200, url: { search: '?tenant=a' }, proof: { alg: 'ES256' } })
})

test('each algorithm makes proofs that the service takes, EdDSA under that older name', async (t) => {
  for (const alg of ['ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA'] as const) {
    const { server, session, refresh } = await tokenServiceBench(t, { server: { dpop: false }, dpop: { alg } })
    const tokens = await refresh({ ...await session(), dpopKey: await generateDpopKey(alg) })
    t.match(first(server.requestsTo('token')), { proof: { alg } })
    t.match(tokens, { dpopKey: { alg }, accessTokens: [{ tokenType: 'DPoP' }] })
  }
})

test('R8 R34 a Bearer answer to a DPoP request is refused: never used, and its refresh token is kept', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t, {}, dpop)
  const browser = await loginAged(ages.expired)
  server.fault(faults.members({ token_type: 'Bearer' }))
  await check(await browser.get('/token'), { status: 502, code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', cookie: 'set', tokenRequests: 1, told: ['failed: badResponse'] })

  clock.now += 6
  server.fault(faults.members({ token_type: 'dpOP' }))
  const answer = await browser.get('/token')
  await check(answer, refreshed, 'and token_type compares without case')
  t.ok(server.isAlive(String(answer.json.token)), 'the family lives')
})

test('R34 while the old token is valid it serves on, whatever type the next one is of', async (t) => {
  const { server, check, loginAged } = await startScenario(t, {}, dpop)
  const browser = await loginAged(ages.inWindow)
  server.fault(faults.members({ token_type: 'Bearer' }))
  await check(await browser.get('/token'), { status: 200, cookie: 'set', tokenRequests: 1, told: ['failed: badResponse'] })
})

test('R8 a DPoP answer where none was asked for is refused', async (t) => {
  const { server, check, loginAged } = await startScenario(t, {}, { dpop: false })
  const browser = await loginAged(ages.expired)
  server.fault(faults.members({ token_type: 'DPoP' }))
  await check(await browser.get('/token'), { status: 502, code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', cookie: 'set', tokenRequests: 1, told: ['failed: badResponse'] })
})

test('R27 R35 where the service wants a nonce, the refresh is sent once more with a new proof and a new client assertion', async (t) => {
  let assertions = 0
  const basic = clientSecretBasic('the-secret-of-the-client')
  const { server, check, loginAged } = await startScenario(t, {
    clientSecret: undefined,
    clientAuthentication: async (...call) => {
      call[3].set('x-assertion', String(++assertions))
      await basic(...call)
    }
  }, { ...dpop, dpopNonce: 'newest' })
  const browser = await loginAged(ages.expired)
  await check(await browser.get('/token'), retried)

  const [one, two] = server.requestsTo('token')
  t.equal(one?.error, 'use_dpop_nonce')
  t.strictSame([one?.headers['x-assertion'], two?.headers['x-assertion']], ['1', '2'])
  t.strictSame(one?.params, two?.params, 'the same refresh token, which was not spent')
  const proofs = [one, two].flatMap((record) => record ? [proofOf(record).claims] : [])
  t.not(proofs[0]?.jti, proofs[1]?.jti)
  t.strictSame(proofs.map(({ nonce }) => typeof nonce), ['undefined', 'string'])
})

test('R36 the nonce of a success is in the next proof, that of another session too', async (t) => {
  const { server, check, loginAged } = await startScenario(t, {}, { ...dpop, dpopNonce: 'newest' })
  const browser = await loginAged(ages.expired)
  await check(await browser.get('/token'), retried)
  await check(await browser.get('/renew'), refreshed, 'the service has changed it with every answer')
  await check(await (await loginAged(ages.expired)).get('/token'), refreshed)
  const nonces = server.requestsTo('token').map((record) => proofOf(record).claims.nonce)
  t.equal(new Set(nonces).size, nonces.length)
})

test('R35 a nonce that has expired meanwhile costs one more request, and no session', async (t) => {
  const { server, check, loginAged } = await startScenario(t, {}, { ...dpop, dpopNonce: 'issued' })
  const browser = await loginAged(ages.expired)
  await check(await browser.get('/token'), retried)
  server.expireNonces()
  await check(await browser.get('/renew'), retried)
  t.equal(server.families[0]?.alive, true)
})

test('R35 a service that wants another nonce again and again is asked twice, and the session stays as it was', async (t) => {
  const { server, check, loginAged, clock } = await startScenario(t, {}, dpop)
  const browser = await loginAged(ages.expired)
  server.fault(faults.answer(400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': 'another' }), Infinity)
  await check(await browser.get('/token'), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 2, told: ['failed: refused'] })
  server.clearFaults()
  clock.now += 6
  await check(await browser.get('/token'), refreshed, 'its refresh token was not spent')
})

test('R35 who sends no proof has none to put a nonce in, and does not ask again', async (t) => {
  const { server, check, loginAged } = await startScenario(t, {}, { dpop: false })
  const browser = await loginAged(ages.expired)
  server.fault(faults.answer(400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': 'one' }))
  await check(await browser.get('/token'), { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1, told: ['failed: refused'] })
})

test('R19 where the answer to the second request is lost, that is ambiguous like any other, and not sent again', async (t) => {
  const { server, check, loginAged } = await startScenario(t, {}, { ...dpop, dpopNonce: 'issued' })
  const browser = await loginAged(ages.expired)
  server.fault({})
  server.fault(faults.resetAfter())
  await check(await browser.get('/token'), { status: 503, code: 'FST_TOKEN_SERVICE_UNAVAILABLE', retryAfter: 5, tokenRequests: 2, told: ['failed: ambiguous'] })
})

test('a clock that is off by two minutes is refused where no nonce tells the time, and is no matter where one does', async (t) => {
  for (const [dpopNonce, expected] of [
    [null, { status: 502, code: 'FST_TOKEN_SERVICE_REFUSED', tokenRequests: 1, told: ['failed: refused'] }],
    ['issued', retried]
  ] as const) {
    const { server, check, loginAged, clock } = await startScenario(t, {}, { dpop: true, dpopNonce })
    server.settings.clock = () => clock.now + 120
    await check(await (await loginAged(ages.expired)).get('/token'), expected)
    t.equal(server.families[0]?.alive, true)
  }
})

test('F17 sessions from before the option dpop stay Bearer sessions, with one warning, until their next login', async (t) => {
  const { server, check, login, clock } = await startScenario(t, { dpop: false }, { dpop: false })
  const browsers = [await login(), await login()]
  const after = await startApp(t, server, { dpop: true, clock: () => clock.now })
  for (const { cookies } of browsers) {
    const browser = new Browser(after.origin, cookies)
    for (const path of ['/token', '/token']) {
      clock.now += ages.expired
      await check(await browser.get(path), { ...refreshed, told: [] })
    }
  }
  t.strictSame(server.requestsTo('token').map(({ proof, headers }) => proof ?? headers.dpop), [undefined, undefined, undefined, undefined])
  t.equal(after.log.filter((line) => line.includes('"level":40') && line.includes('before the option dpop')).length, 1)
})

test('F17 where the service takes no such session any more, that is a refusal, and no proof is made up for it', async (t) => {
  const { server, login, clock } = await startScenario(t, { dpop: false }, { dpop: false })
  const { cookies } = await login()
  const after = await startApp(t, server, { dpop: true, clock: () => clock.now })
  clock.now += ages.expired
  server.settings.dpop = true
  t.not((await new Browser(after.origin, cookies).get('/token')).status, 200)
  t.match(first(server.requestsTo('token')), { error: 'invalid_dpop_proof', headers: { dpop: undefined } })
})

test('F17 a session with a key keeps it where the option is gone, and a login with the option gets one', async (t) => {
  const { server, check, clock, ...app } = await startScenario(t, {}, dpop)
  const browser = await app.login()
  const without = await startApp(t, server, { dpop: false, clock: () => clock.now })
  clock.now += ages.expired
  await check(await new Browser(without.origin, browser.cookies).get('/token'), { ...refreshed, told: [] })
  t.type(first(server.requestsTo('token')).proof?.jkt, 'string')

  const fresh = await startLoginApp(t, { server: { dpop: true }, dpop: true })
  t.equal((await logIn(fresh.browser)).status, 303)
  t.type(first(fresh.server.requestsTo('token')).proof?.jkt, 'string')
})

for (const [dpopNonce, meaning] of [['once', 'that is good for one request'], ['newest', 'that is outdated by the next answer to anybody']] as const) {
  test(`F14 R35 30 expired sessions at once, and a nonce ${meaning}: all are served`, async (t) => {
    const { server, login, clock, entered } = await startScenario(t, {}, { dpop: true, dpopNonce })
    const browsers = await Promise.all(Array.from({ length: 30 }, () => login()))
    clock.now += ages.expired
    const gate = server.hold()
    const answers = Promise.all(browsers.map((browser) => browser.get('/token')))
    await entered(30)
    gate.release()
    t.strictSame((await answers).map(({ status }) => status), Array(30).fill(200))
    t.equal(server.requestsTo('token').filter(({ status }) => status === 200).length, 30)
  })
}

test('F14 R35 the retry holds the nonce of the answer that asked for it, and there are three while that changes', async (t) => {
  const { server, session, failure, refresh } = await tokenServiceBench(t, { server: { dpop: true } })
  const want = (nonce: string) => faults.answer(400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': nonce })
  const nonces = () => server.requestsTo('token').map((record) => proofOf(record).claims.nonce)
  for (const nonce of ['one', 'two', 'three']) server.fault(want(nonce))
  t.match(await refresh(await session()), { generation: 1 })
  t.strictSame(nonces(), [undefined, 'one', 'two', 'three'])

  for (const nonce of ['four', 'five', 'six', 'seven', 'eight']) server.fault(want(nonce))
  t.match(await refresh(await session()).catch((error: unknown) => error), { name: 'AnswerError', error: 'use_dpop_nonce' })
  t.strictSame(nonces().slice(4), ['three', 'four', 'five', 'six'], 'the fourth is a refusal')
  t.match(await failure(faults.oauthError('use_dpop_nonce')), { error: 'use_dpop_nonce' })
  t.equal(nonces().length, 9, 'without a nonce in the answer there is nothing to try again with')
})

test('the tokens of a login that the app did itself are saved with their key, and only with it', async (t) => {
  const { server, check, save, clock } = await startScenario(t, {}, dpop)
  const { dpopKey, ...tokens } = await server.issue()
  await t.rejects(save(tokens), /FST_TOKEN_NO_DPOP_KEY.*save\(response, { dpopKey }\)/)
  for (const unusable of [{ ...dpopKey, d: undefined }, { ...dpopKey, crv: 'P-999' }, { kty: 'RSA', n: 'AQAB', e: 'AQAB', d: 'AQAB' }, {}]) {
    await t.rejects(save({ ...tokens, dpopKey: unusable }), /FST_TOKEN_NO_DPOP_KEY.*Ed25519/)
  }
  await t.rejects(save({ ...tokens, token_type: 'Bearer', dpopKey }), /FST_TOKEN_SERVICE_BAD_RESPONSE.*token_type is not DPoP/)
  await t.rejects(save({ ...tokens, token_type: 'Bearer' }), /FST_TOKEN_SERVICE_BAD_RESPONSE.*token_type is not DPoP/, 'where the option asks for DPoP')

  const browser = await save({ ...tokens, dpopKey })
  clock.now += ages.expired
  await check(await browser.get('/token'), refreshed)
})

test('a key that is none of the session\'s is refused by the service, where it binds refresh tokens', async (t) => {
  const { server, check, save, clock } = await startScenario(t, {}, { ...dpop, bindRefreshTokens: true })
  const { key } = await sessionKey()
  const browser = await save({ ...await server.issue(), dpopKey: key })
  clock.now += ages.expired
  await check(await browser.get('/token'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1, told: ['failed: ended, the end'] })
})

test('an algorithm that the provider does not take fails the boot', async (t) => {
  const settings = { metadata: { dpop_signing_alg_values_supported: ['PS256', 'ES384'] } }
  await t.rejects(startScenario(t, { dpop: true }, settings), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /dpop\.alg is ES256, and the provider takes PS256, ES384/ })
  await startScenario(t, { dpop: { alg: 'ES384' } }, settings)
})
