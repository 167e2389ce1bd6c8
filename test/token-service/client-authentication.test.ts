import { generateKeyPairSync } from 'node:crypto'
import { SignJWT } from 'jose'
import { test } from 'tap'
import type { ClientAuthenticationMethod } from '../../lib/testing/provider/settings.ts'
import { makeAuthority, selfSigned, x5cOf } from '../support/certificates.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { credentialsIn, startClientApp } from '../support/client-authentication-app.ts'
import { logIn } from '../support/login-flow.ts'
import { assertNoSecrets } from '../support/scenario.ts'
import * as library from '../../lib/index.ts'
import {
  type ClientAuthentication, clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, none, type OutgoingRequest, privateKeyJwt, tlsClientAuth
} from '../../lib/index.ts'

const secret = 'a secret of the client: %&+'
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const authority = await makeAuthority()
const tls = { ...await authority.issue('127.0.0.1'), ca: authority.cert }
const certificate = await authority.issue('web')
const ownCertificate = await selfSigned('web')
const registered = {
  clientSecret: secret,
  clientJwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'web-1' }, { kty: 'EC', kid: 'tls', x5c: x5cOf(ownCertificate) }] },
  clientSubject: 'CN=web',
  tls
}

const pushed = { login: { pushedAuthorizationRequests: true } }

interface Method { readonly name: ClientAuthenticationMethod, readonly authentication: () => ClientAuthentication, readonly credentials: string[] }

const methods: Method[] = [
  { name: 'client_secret_basic', authentication: () => clientSecretBasic(secret), credentials: ['header'] },
  { name: 'client_secret_post', authentication: () => clientSecretPost(secret), credentials: ['secret'] },
  { name: 'client_secret_jwt', authentication: () => clientSecretJwt(secret), credentials: ['assertion'] },
  { name: 'private_key_jwt', authentication: () => privateKeyJwt({ key: privateKey, kid: 'web-1' }), credentials: ['assertion'] },
  { name: 'tls_client_auth', authentication: () => tlsClientAuth({ ...certificate, ca: authority.cert }), credentials: ['certificate'] },
  { name: 'self_signed_tls_client_auth', authentication: () => tlsClientAuth({ ...ownCertificate, ca: authority.cert }), credentials: ['certificate'] },
  { name: 'none', authentication: none, credentials: [] }
]

for (const { name, authentication, credentials } of methods) {
  test(`R3 R5 R22 with ${name} the client authenticates in that way alone, for pushed requests, codes, refreshes, its own tokens and revocations`, async (t) => {
    const { server, browser, refresh, logInAndWait, origin } = await startClientApp(t, authentication(), { ...registered, clientAuthentication: [name] }, pushed)
    await logInAndWait()
    t.equal((await refresh()).answer.status, 200)
    t.equal((await fetch(`${origin}/jobs`)).status, 200)
    t.equal((await browser.post('/auth/logout')).status, 200)

    const posts = server.requests.filter(({ method }) => method === 'POST')
    t.strictSame(posts.map(({ endpoint, grant }) => grant ?? endpoint), ['pushedAuthorization', 'authorization_code', 'refresh_token', 'client_credentials', 'revocation', 'revocation'])
    for (const record of posts) {
      t.equal(record.status, record.endpoint === 'pushedAuthorization' ? 201 : 200)
      t.equal(record.clientAuthentication, name)
      t.strictSame(credentialsIn(record), credentials, 'R3 exactly one method')
      if (name !== 'client_secret_basic') t.equal(record.params.client_id, 'web', 'R28 client_id is sent')
    }
  })
}

test('R25 R26 an assertion says who, for whom as one string, until when, and has a jti of its own', async (t) => {
  for (const [name, authentication] of [['client_secret_jwt', clientSecretJwt(secret)], ['private_key_jwt', privateKeyJwt({ key: privateKey, kid: 'web-1' })]] as const) {
    const { server, clock, logInAndWait, refresh } = await startClientApp(t, authentication, { ...registered, clientAuthentication: [name] })
    await logInAndWait()
    await refresh()
    const assertions = server.requestsTo('token').flatMap(({ assertion }) => assertion ?? [])
    t.equal(assertions.length, 2)
    t.equal(new Set(assertions.map(({ claims }) => claims.jti)).size, 2)
    const { claims, header } = assertions.at(-1) ?? {}
    t.match(claims, { iss: 'web', sub: 'web', aud: server.issuer, jti: /.{20}/ })
    t.ok(Number(claims?.exp) - clock.now <= 60 && Number(claims?.exp) > clock.now)
    t.strictSame(header, name === 'client_secret_jwt' ? { alg: 'HS256' } : { alg: 'ES256', kid: 'web-1' })
  }
})

test('R26 the token endpoint is the audience by option, and the header says what an option adds', async (t) => {
  const options = { audience: 'token_endpoint', header: { typ: 'client-authentication+jwt' } } as const
  for (const authentication of [clientSecretJwt(secret, options), privateKeyJwt({ key: privateKey, kid: 'web-1', ...options })]) {
    const { server, browser, logInAndWait, refresh } = await startClientApp(t, authentication, {
      ...registered,
      clientAuthentication: ['client_secret_jwt', 'private_key_jwt'],
      assertionAudience: 'token_endpoint',
      assertionType: 'client-authentication+jwt'
    })
    await logInAndWait()
    t.equal((await refresh()).answer.status, 200)
    await browser.post('/auth/logout')
    t.ok(server.revocations > 0 && server.requestsTo('revocation').every(({ assertion }) => assertion?.claims.aud === `${server.issuer}/token`))
  }
})

test('R27 every attempt of one refresh has an assertion of its own', async (t) => {
  const { server, logInAndWait, refresh } = await startClientApp(t, clientSecretJwt(secret), { ...registered, clientAuthentication: ['client_secret_jwt'] })
  await logInAndWait()
  server.fault(faults.answer(503, '', { 'retry-after': '0' }), 2)
  const { answer, requests } = await refresh()
  t.equal(answer.status, 200)
  t.equal(requests.length, 3)
  t.equal(new Set(requests.map(({ params }) => params.client_assertion)).size, 3)
})

test('R25 an assertion that the service has seen before is refused, and the session is as it was', async (t) => {
  let kept: string | undefined
  const once = privateKeyJwt({ key: privateKey, kid: 'web-1' })
  const { server, logged, logInAndWait, refresh, refused } = await startClientApp(t, async (as, client, body, headers) => {
    await once(as, client, body, headers)
    if (body.get('grant_type') === 'refresh_token') body.set('client_assertion', kept ??= body.get('client_assertion') ?? '')
  }, { ...registered, clientAuthentication: ['private_key_jwt'], assertionLifetime: 86_400 })
  await logInAndWait()
  await refresh()
  server.settings.clock = () => Date.now() / 1000 // so that the assertion is not too old, either
  t.match((await refused(502, 'FST_TOKEN_SERVICE_REFUSED')).json, { message: /invalid_client.*Check the client registration/ })
  t.match(server.requestsTo('token').at(-1), { error: 'invalid_client' })
  await logged(/"level":50.*invalid_client/)
})

test('R17 a wrong secret or key is refused with a 502, and the session is as it was until the right one is there', async (t) => {
  const another = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  let wrong = false
  const exchanged: Array<[ClientAuthenticationMethod, ClientAuthentication]> = [
    ['client_secret_basic', clientSecretBasic(() => wrong ? 'not the secret' : secret)],
    ['client_secret_post', clientSecretPost(async () => wrong ? 'not the secret' : secret)],
    ['client_secret_jwt', clientSecretJwt(() => wrong ? 'not the secret' : secret)],
    ['private_key_jwt', privateKeyJwt(async () => ({ key: wrong ? another : privateKey, kid: 'web-1' }))]
  ]
  for (const [name, authentication] of exchanged) {
    wrong = false
    const { browser, logInAndWait, refresh, refused } = await startClientApp(t, authentication, { ...registered, clientAuthentication: [name] })
    await logInAndWait()
    wrong = true
    await refused(502, 'FST_TOKEN_SERVICE_REFUSED')
    t.equal((await browser.get('/token')).json.code, 'FST_TOKEN_SERVICE_REFUSED', 'and it is not asked again at once')
    wrong = false
    t.equal((await refresh()).answer.status, 200, `${name} is exchanged without a restart`)
  }
})

test('a client whose clock is off by two minutes is refused with a 502, and the session is as it was', async (t) => {
  for (const minutes of [-2, 2]) {
    const { server, clock, logInAndWait, refresh, refused } = await startClientApp(t, clientSecretJwt(secret), { ...registered, clientAuthentication: ['client_secret_jwt'] })
    await logInAndWait()
    server.settings.clock = () => clock.now + minutes * 60
    await refused(502, 'FST_TOKEN_SERVICE_REFUSED')
    server.settings.clock = () => clock.now
    t.equal((await refresh()).answer.status, 200)
  }
})

test('R27 an assertion of the app\'s own is asked for at every attempt, with the endpoint and the grant it is for', async (t) => {
  const asked: OutgoingRequest[] = []
  const { server, browser, origin, logInAndWait, refresh } = await startClientApp(t, clientAssertion(async (request) => {
    asked.push(request)
    return await new SignJWT({ jti: String(asked.length) }).setProtectedHeader({ alg: 'ES256', kid: 'web-1' })
      .setIssuer(request.clientId).setSubject(request.clientId).setAudience(request.issuer).setExpirationTime(server.settings.clock() + 30).sign(privateKey) + '\n'
  }), { ...registered, clientAuthentication: ['private_key_jwt'] }, pushed)
  await logInAndWait()
  server.fault(faults.answer(503, '', { 'retry-after': '0' }))
  t.equal((await refresh()).answer.status, 200)
  t.equal((await fetch(`${origin}/jobs`)).status, 200)
  await browser.post('/auth/logout')
  const { issuer } = server
  const to = (path: string, grant?: string) => ({ clientId: 'web', issuer, endpoint: issuer + path, grant })
  t.strictSame(asked, [
    to('/par'), to('/token', 'authorization_code'), to('/token', 'refresh_token'), to('/token', 'refresh_token'), to('/token', 'client_credentials'), to('/revoke'), to('/revoke')
  ])
  t.ok(server.requestsTo('revocation').every(({ clientAuthentication }) => clientAuthentication === 'private_key_jwt'))
})

test('R19 where the app\'s own function fails or does not end, nothing was sent: 503, and the session is as it was', async (t) => {
  let fail: (() => Promise<string>) | undefined
  const failures: string[] = []
  const { logged, logInAndWait, refresh, refused } = await startClientApp(t, clientSecretPost(() => fail?.() ?? secret), registered, { requestTimeout: 0.2, onRefreshFailed: ({ failure }) => { failures.push(failure) } })
  await logInAndWait()
  fail = async () => { throw new Error('the vault is closed') }
  t.match((await refused(503, 'FST_TOKEN_SERVICE_UNAVAILABLE', 0)).headers.get('retry-after'), /^\d+$/)
  await logged(/the vault is closed/)
  fail = async () => await new Promise(() => {})
  await refused(503, 'FST_TOKEN_SERVICE_UNAVAILABLE', 0)
  await logged(/clientAuthentication, .* took longer than 0.2 s/)
  fail = undefined
  t.equal((await refresh()).answer.status, 200)
  t.strictSame(failures, ['unavailable', 'unavailable'], 'and it was not ambiguous')
})

test('what a function gives that is no secret, key or assertion is a 502 that says so, and nothing is sent', async (t) => {
  const wrong: Array<[(isWrong: () => boolean) => ClientAuthentication, RegExp]> = [
    [(isWrong) => clientSecretBasic(() => isWrong() ? '' : secret), /the client secret is missing or empty: give the one/],
    [(isWrong) => privateKeyJwt(() => ({ key: isWrong() ? 'no PEM' : privateKey, kid: 'web-1' })), /privateKeyJwt: key is no private key.*Give one as PEM/],
    [(isWrong) => {
      const right = privateKeyJwt({ key: privateKey, kid: 'web-1' })
      const empty = clientAssertion(() => ' ')
      return async (...request) => { await (isWrong() ? empty : right)(...request) }
    }, /the function of clientAssertion must give a JWT/]
  ]
  for (const [authentication, says] of wrong) {
    let isWrong = false
    const { logInAndWait, refused, refresh } = await startClientApp(t, authentication(() => isWrong), { ...registered, clientAuthentication: ['client_secret_basic', 'private_key_jwt'] })
    await logInAndWait()
    isWrong = true
    t.match((await refused(502, 'FST_TOKEN_SERVICE_REFUSED', 0)).json.message, says)
    isWrong = false
    t.equal((await refresh()).answer.status, 200)
  }
})

test('a login that cannot authenticate is a 503 or a 502, too, and no session', async (t) => {
  const failures: Array<[() => string, number]> = [[() => { throw new Error('the vault is closed') }, 503], [() => '', 502], [() => 'not the secret', 502]]
  for (const [current, status] of failures) {
    const { browser, server, log } = await startClientApp(t, clientSecretPost(current), registered)
    const answer = await logIn(browser)
    t.equal(answer.status, status)
    t.notOk(browser.cookies.has('tokens'))
    assertNoSecrets(t, server, [...log, answer.text])
  }
})

test('a method that the metadata does not list is warned of at boot, and used all the same', async (t) => {
  const warnings = async (authentication: ClientAuthentication | undefined, listed: string[] | undefined) => {
    const { log, logInAndWait } = await startClientApp(t, authentication, { ...registered, metadata: { token_endpoint_auth_methods_supported: listed } })
    await logInAndWait()
    return log.filter((line) => line.includes('among its methods of client authentication'))
  }
  t.match(await warnings(clientSecretPost(secret), ['private_key_jwt']), [/"level":40.*"listed":\["private_key_jwt"\].*does not list client_secret_post among/])
  t.match(await warnings(undefined, ['private_key_jwt']), [/does not list client_secret_basic/])
  t.strictSame(await warnings(clientSecretPost(secret), ['private_key_jwt', 'client_secret_post']), [])
  t.strictSame(await warnings(clientSecretPost(secret), undefined), [], 'what says nothing excludes nothing')
  t.strictSame(await warnings((_server, client, body) => { body.set('client_id', client.client_id); body.set('client_secret', secret) }, ['private_key_jwt']), [], 'nor is a function of the app\'s own known')
})

test('a secret that is missing fails the boot, and says what to do', async (t) => {
  const missing = process.env.THERE_IS_NO_SUCH_SECRET
  for (const method of [clientSecretBasic, clientSecretPost, clientSecretJwt]) {
    for (const nothing of ['', missing]) t.throws(() => { Reflect.apply(method, undefined, [nothing]) }, { code: 'FST_TOKEN_INVALID_OPTIONS', message: /the client secret is missing or empty: give the one/ })
  }
  for (const assertion of [() => clientSecretJwt(secret, JSON.parse('{ "audience": "https://idp.example.com" }')), () => privateKeyJwt({ key: privateKey, ...JSON.parse('{ "audience": "x" }') })]) {
    t.throws(assertion, { code: 'FST_TOKEN_INVALID_OPTIONS', message: /audience must be issuer or token_endpoint; for any other, make the assertion yourself: clientAssertion/ })
  }
})

test('require() gives everything that import gives, by the same names', async (t) => {
  const { 'module.exports': commonjs, ...named } = library
  t.match(named, { clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, none, privateKeyJwt, tlsClientAuth })
  for (const [name, value] of Object.entries(named)) t.equal(Reflect.get(commonjs, name), value, name)
})
