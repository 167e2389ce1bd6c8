import { once } from 'node:events'
import { createServer } from 'node:https'
import { inspect } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { Agent, buildConnector } from 'undici'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { RequestRecord } from '../../lib/testing/provider/request-log.ts'
import { longAgo, makeAuthority, selfSigned } from '../support/certificates.ts'
import { startClientApp } from '../support/client-authentication-app.ts'
import { logIn } from '../support/login-flow.ts'
import { sessionKey } from '../support/start-app.ts'
import tokenManagement, { type ClientCertificate, clientSecretPost, tlsClientAuth, type TokenManagementOptions } from '../../lib/index.ts'

const authority = await makeAuthority()
const ca = authority.cert
const tls = { ...await authority.issue('127.0.0.1'), ca }
const certificate = await authority.issue('web')
const settings = { clientAuthentication: ['tls_client_auth' as const], clientSubject: 'CN=web', tls }

const subjects = (records: readonly RequestRecord[]) => records.map(({ certificate }) => certificate?.x509.subject)
const serials = (records: readonly RequestRecord[]) => new Set(records.map(({ certificate }) => certificate?.x509.serialNumber))

test('R28 requests with a certificate go to the mtls_endpoint_aliases, and to the endpoints themselves where there are none', async (t) => {
  const told: string[] = []
  const { server, browser, logInAndWait, refresh } = await startClientApp(t, tlsClientAuth({ ...certificate, ca }), settings, { login: { pushedAuthorizationRequests: true }, tokenRequest: ({ endpoint }) => { told.push(endpoint) } })
  await logInAndWait()
  t.equal((await refresh()).answer.status, 200)
  await browser.post('/auth/logout')
  const posts = server.requests.filter(({ method }) => method === 'POST')
  t.equal(posts.length, 5, 'a pushed request, a code, a refresh and two revocations')
  for (const { url, params } of posts) {
    t.equal(url.origin, server.mtlsOrigin)
    t.equal(params.client_id, 'web')
  }
  t.ok(posts.every(({ url }) => told.includes(url.href)), 'and the app is told so')

  const without = await startClientApp(t, tlsClientAuth({ ...certificate, ca }), { ...settings, metadata: { mtls_endpoint_aliases: undefined } })
  t.equal((await logIn(without.browser)).status, 502)
  t.match(without.server.requestsTo('token'), [{ error: 'invalid_client', certificate: undefined }])
})

test('R28 other methods go to the endpoints themselves, and present no certificate', async (t) => {
  const { server, logInAndWait, refresh } = await startClientApp(t, undefined, { ...settings, clientAuthentication: ['client_secret_basic'] })
  await logInAndWait()
  t.equal((await refresh()).answer.status, 200)
  t.ok(server.requestsTo('token').every(({ url, certificate }) => url.origin === server.issuer && certificate === undefined))
})

test('metadata by hand has aliases, too', async (t) => {
  const server = await startAuthorizationServer({ ...settings, expiresIn: 60 })
  t.teardown(() => server.close())
  const app = await startPlain(t, {
    metadata: { issuer: server.issuer, token_endpoint: `${server.issuer}/token`, mtls_endpoint_aliases: { token_endpoint: `${server.mtlsOrigin}/token` } },
    clientId: 'web',
    clientAuthentication: tlsClientAuth({ ...certificate, ca }),
    clients: { jobs: {} }
  })
  t.match(await app.clientAccessToken('jobs'), /.{20}/)
  t.strictSame(subjects(server.requestsTo('token')), ['CN=web'])
})

test('a certificate that is exchanged is presented from the next request on, and no open connection or resumed session brings the old one back', async (t) => {
  let current: ClientCertificate = { ...certificate, ca }
  const { server, logInAndWait, refresh } = await startClientApp(t, tlsClientAuth(async () => ({ ...current })), settings)
  await logInAndWait()
  const connections = server.connections
  await refresh()
  t.equal(server.connections, connections, 'the connection of the same certificate is used again')
  for (let exchanges = 1; exchanges <= 3; exchanges++) {
    current = { ...await authority.issue('web'), ca }
    const { answer, requests } = await refresh()
    t.equal(answer.status, 200)
    t.match(requests, [{ clientAuthentication: 'tls_client_auth' }])
    t.equal(serials(server.requestsTo('token')).size, 1 + exchanges)
  }
})

test('other authorities for the provider are in force from the next request on, also with the same certificate', async (t) => {
  let current: ClientCertificate = { ...certificate, ca }
  const { refresh, refused, logInAndWait } = await startClientApp(t, tlsClientAuth(() => current), settings)
  await logInAndWait()
  t.equal((await refresh()).answer.status, 200)
  current = { ...certificate, ca: (await makeAuthority()).cert }
  await refused(503, 'FST_TOKEN_SERVICE_UNAVAILABLE', 0)
  current = { ...certificate, ca }
  t.equal((await refresh()).answer.status, 200)
})

test('after the app has closed, a certificate that is exchanged opens nothing any more', async (t) => {
  let current: ClientCertificate = { ...certificate, ca }
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  const app = await startPlain(t, { issuer: server.issuer, clientId: 'web', clientAuthentication: tlsClientAuth(() => current), clients: { jobs: {} } })
  await app.clientAccessToken('jobs')
  const { connections } = server
  await app.close()
  current = { ...await authority.issue('web'), ca }
  await t.rejects(app.clientAccessToken('jobs', { forceRenewal: true }), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE', cause: { sent: false } })
  t.equal(server.connections, connections)
})

test('where the function of the certificate fails, nothing was sent: 503, and the session is as it was', async (t) => {
  let calls = 0
  let failAt = Infinity
  const { logged, logInAndWait, refresh, refused } = await startClientApp(t, tlsClientAuth(() => {
    if (++calls >= failAt) throw new Error('the vault is closed')
    return { ...certificate, ca }
  }), settings)
  await logInAndWait()
  failAt = calls + 1
  await refused(503, 'FST_TOKEN_SERVICE_UNAVAILABLE', 0)
  await logged(/the vault is closed/)
  failAt = calls + 2
  await refused(503, 'FST_TOKEN_SERVICE_UNAVAILABLE', 0)
  failAt = Infinity
  t.equal((await refresh()).answer.status, 200)
})

test('a certificate that has expired fails the boot; later it is a 502 that says so, nothing is sent, and the session is as it was', async (t) => {
  const expired = await authority.issue('web', longAgo)
  t.throws(() => tlsClientAuth({ ...expired, ca }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /tlsClientAuth: the client certificate has expired on \d{4}-.*Z\. Give the one that replaces it/ })

  let current: ClientCertificate = { ...await authority.issue('web', { notAfterDate: new Date(Date.now() + 600_000) }), ca }
  const { logInAndWait, refresh, refused } = await startClientApp(t, tlsClientAuth(() => current), settings)
  await logInAndWait()
  t.match((await refused(502, 'FST_TOKEN_SERVICE_REFUSED', 0)).json.message, /the client certificate has expired on/)
  current = expired
  t.match((await refused(502, 'FST_TOKEN_SERVICE_REFUSED', 0)).json.message, /the client certificate has expired on/)
  current = { ...certificate, ca }
  t.equal((await refresh()).answer.status, 200)
})

test('a certificate that the service does not know, or not any more, is a 502, and the session is as it was', async (t) => {
  const { server, logInAndWait, refused, refresh } = await startClientApp(t, tlsClientAuth({ ...certificate, ca }), settings)
  await logInAndWait()
  server.settings.clientSubject = 'CN=another'
  await refused(502, 'FST_TOKEN_SERVICE_REFUSED')
  server.settings.clientSubject = 'CN=web'
  t.equal((await refresh()).answer.status, 200)

  for (const untrusted of [await selfSigned('web'), await (await makeAuthority()).issue('web')]) {
    const { server, browser } = await startClientApp(t, tlsClientAuth({ ...untrusted, ca }), settings)
    t.equal((await logIn(browser)).status, 502)
    t.match(server.requestsTo('token'), [{ error: 'invalid_client', certificate: { authorized: false } }])
  }

  const expired = new Agent({ connect: { ...await authority.issue('web', longAgo), ca } })
  t.teardown(() => expired.close())
  const own = await startClientApp(t, tlsClientAuth(), settings, { backchannel: expired })
  t.equal((await logIn(own.browser)).status, 502, 'nor is one that has expired')
})

test('a service that ends the handshake over the certificate is out of reach, and no 400 of the user', async (t) => {
  const strict = createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, () => t.fail('nobody is let in'))
  t.teardown(() => strict.close())
  await once(strict.listen(0, '127.0.0.1'), 'listening')
  const address = strict.address()
  const issuer = `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const app = await startPlain(t, {
    metadata: { issuer, token_endpoint: `${issuer}/token` },
    clientId: 'web',
    clientAuthentication: tlsClientAuth({ ...await selfSigned('web'), ca }),
    clients: { jobs: {} }
  })
  await t.rejects(app.clientAccessToken('jobs'), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE', cause: { name: 'BackchannelError', message: `No answer from ${issuer}` } })
})

test('a provider whose own certificate nobody trusts gets nothing', async (t) => {
  const { server, browser } = await startClientApp(t, tlsClientAuth({ ...certificate }), settings)
  const answer = await logIn(browser)
  t.equal(answer.json.code, 'FST_TOKEN_SERVICE_UNAVAILABLE')
  t.equal(server.tokenRequests, 0)
})

test('the app\'s own backchannel brings the certificate, as a dispatcher, as its decorator, or in the options of the Agent', async (t) => {
  const agent = new Agent({ connect: { ...certificate, ca } })
  t.teardown(() => agent.close())
  for (const options of [{ backchannel: agent }, { before: (app: FastifyInstance) => app.decorate('backchannel', agent) }, { backchannel: { connect: { ...certificate, ca } } }]) {
    const { server, logInAndWait, refresh } = await startClientApp(t, tlsClientAuth(), settings, options)
    await logInAndWait()
    t.equal((await refresh()).answer.status, 200)
    t.strictSame(subjects(server.requestsTo('token')), ['CN=web', 'CN=web'])
  }
})

test('options of the Agent and the certificate go together', async (t) => {
  const { server, logInAndWait } = await startClientApp(t, tlsClientAuth(certificate), settings, { backchannel: { connections: 1, connect: { ca } } })
  await logInAndWait()
  t.strictSame(subjects(server.requestsTo('token')), ['CN=web'])
})

test('a certificate that nobody would present fails the boot, and says what to do', async (t) => {
  const agent = new Agent()
  t.teardown(() => agent.close())
  const issuer = 'https://idp.example.com'
  const given = tlsClientAuth(certificate)
  const wrong: Array<[object, RegExp]> = [
    [{ clientAuthentication: given, backchannel: agent }, /cannot be given to the app's own backchannel: let that present it, and call tlsClientAuth\(\) without one/],
    [{ clientAuthentication: given, backchannel: { connect: buildConnector({}) } }, /backchannel\.connect is a function of the app.*call tlsClientAuth\(\) without one/],
    [{ clientAuthentication: tlsClientAuth() }, /tlsClientAuth needs \{ cert, key \}, or a backchannel of the app that presents them/]
  ]
  for (const [options, says] of wrong) {
    await t.rejects(startPlain(t, { metadata: { issuer, token_endpoint: `${issuer}/token` }, clientId: 'web', ...options }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: says })
  }
})

test('what is no certificate with its key fails the boot, with nothing of the key', async (t) => {
  const { cert, key } = certificate
  const another = await selfSigned('another')
  const pairs: object[] = [{ cert: 'no PEM', key }, { cert, key: 'no PEM' }, { cert, key: another.key }, { cert: key, key: cert }, { cert }, { key }, {}, { cert, key, ca: 5 }, { cert: [cert], key }]
  for (const pair of pairs) {
    try {
      Reflect.apply(tlsClientAuth, undefined, [pair])
      t.fail('it was taken')
    } catch (error) {
      t.match(error, { code: 'FST_TOKEN_INVALID_OPTIONS', message: /tlsClientAuth: cert, key and ca must be PEM, and key the private key of cert/ })
      t.notOk(inspect(error, { depth: Infinity, showHidden: true }).includes(key.split('\n')[1] ?? ''))
    }
  }
  t.notMatch(inspect({ clientAuthentication: tlsClientAuth(certificate) }, { depth: Infinity, showHidden: true }), /PRIVATE KEY/, 'nor does it show where the options are printed')
})

test('each provider sees the certificate of its own client, and no other', async (t) => {
  const bank = await startAuthorizationServer({ ...settings, clientSubject: 'CN=bank-client' })
  const other = await startAuthorizationServer({ ...settings, clientAuthentication: ['client_secret_post'] })
  t.teardown(async () => { await bank.close(); await other.close() })
  const common = { session: { key: sessionKey }, clientId: 'web' }
  const first = tlsClientAuth({ ...await authority.issue('bank-client'), ca })
  const app = await startPlain(t, { ...common, issuer: bank.issuer, name: 'bank', clientAuthentication: first, clients: { bank: {} } }, {
    ...common,
    metadata: { issuer: other.issuer, token_endpoint: `${other.mtlsOrigin}/token` },
    name: 'other',
    clientAuthentication: clientSecretPost(other.settings.clientSecret),
    backchannel: { connect: { ca } },
    clients: { other: {}, own: { clientId: 'web', clientAuthentication: tlsClientAuth({ ...certificate, ca }) } }
  })
  await app.clientAccessToken('bank')
  await app.clientAccessToken('other')
  t.strictSame(subjects(bank.requestsTo('token')), ['CN=bank-client'])
  t.strictSame(subjects(other.requestsTo('token')), [undefined])

  other.settings.clientAuthentication = ['tls_client_auth']
  await app.clientAccessToken('own')
  t.strictSame(subjects(other.requestsTo('token')), [undefined, 'CN=web'], 'a client with a certificate of its own has its own connections')
})

test('providers that are registered without a backchannel do not share connections, whichever comes first', async (t) => {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  const { issuer, mtlsOrigin } = server
  const withCertificate = { clientId: 'web', issuer, name: 'bank', clientAuthentication: tlsClientAuth({ ...certificate, ca }), clients: { bank: {} } }
  const without = { clientId: 'web', metadata: { issuer, token_endpoint: `${mtlsOrigin}/token` }, clientSecret: 'a secret', clients: { other: {} } }
  for (const registrations of [[withCertificate, without], [without, withCertificate]]) {
    const app = await startPlain(t, ...registrations)
    await app.clientAccessToken('bank')
    await t.rejects(app.clientAccessToken('other'), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' }, 'it does not trust the authority of the other')
  }
  t.strictSame(subjects(server.requestsTo('token')), ['CN=web', 'CN=web'])
})

async function startPlain (t: Test, ...registrations: TokenManagementOptions[]): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const options of registrations) await app.register(tokenManagement, { session: { key: sessionKey }, ...options })
  await app.ready()
  return app
}
