import type { LookupFunction } from 'node:net'
import { test, type Test } from 'tap'
import { MockAgent } from 'undici'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { oauthPath, openidPath, type Settings } from '../support/authorization-server/settings.ts'
import { startApp, type TestAppOptions } from '../support/start-app.ts'
import { clientSecretPost } from '../../lib/index.ts'

async function start (t: Test, settings: Partial<Settings> = {}): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  return server
}

const pathsOf = (server: AuthorizationServer) => server.requests.map(({ url }) => url.pathname)

/** Fastify's patience with a plugin, in milliseconds: where each try fails, and might not, they are soon over. */
const impatient = { fastify: { pluginTimeout: 1000 } }

/** The error that the boot ends with. */
async function bootProblem (t: Test, server: AuthorizationServer, options: TestAppOptions = {}): Promise<unknown> {
  return await startApp(t, server, options).then(() => t.fail('the app has booted'), (error: unknown) => error)
}

test('R55 the metadata comes from OpenID Connect Discovery, or from RFC 8414 where the issuer has only that', async (t) => {
  for (const [path, asked] of [[openidPath, [openidPath]], [oauthPath, [openidPath, oauthPath]]] as const) {
    const server = await start(t, { expiresIn: 60, metadataPaths: [path] })
    const { clock, login } = await startApp(t, server)
    t.strictSame(pathsOf(server), asked)
    const browser = await login()
    clock.now += 61
    t.equal((await browser.get('/token')).status, 200)
    t.equal(server.refreshes, 1)
  }
})

test('R55 the metadata of an issuer with a path is looked for where each standard puts it', async (t) => {
  const server = await start(t)
  const issuer = `${server.issuer}/tenant/a`
  server.settings.metadataPaths = [`${oauthPath}/tenant/a`]
  server.settings.metadata = { issuer }
  await startApp(t, server, { issuer })
  t.strictSame(pathsOf(server), [`/tenant/a${openidPath}`, `${oauthPath}/tenant/a`])
})

test('R55 metadata that cannot be used fails the boot, naming the issuer and the cause', async (t) => {
  const server = await start(t)
  const { issuer } = server
  const cases: Array<[string, Record<string, unknown>, RegExp]> = [
    ['of another issuer', { issuer: 'https://mallory.example' }, /issuer/],
    ['of an issuer with a slash too many', { issuer: `${issuer}/` }, /the document names the issuer http:.*\/; give that as the option issuer if it is the right one/],
    ['without issuer', { issuer: undefined }, /issuer/],
    ['without a token_endpoint', { token_endpoint: undefined }, /the document has no token_endpoint/],
    ...['token_endpoint', 'authorization_endpoint', 'revocation_endpoint', 'end_session_endpoint'].map((name): [string, Record<string, unknown>, RegExp] =>
      [`R1 with a plain http ${name}`, { [name]: 'http://idp.example.com/x' }, new RegExp(`${name} is not an https URL`)]),
    ['R1 with a plain http alias for mutual TLS', { mtls_endpoint_aliases: { token_endpoint: 'http://idp.example.com/x' } }, /mtls_endpoint_aliases\.token_endpoint is not an https URL/],
    ['with a list for a token_endpoint', { token_endpoint: [`${issuer}/token`] }, /the document has no token_endpoint/],
    ['with a list for another endpoint', { revocation_endpoint: [`${issuer}/revoke`] }, /revocation_endpoint is not an https URL/],
    ['with an endpoint that is no URL', { token_endpoint: '/token' }, /token_endpoint is not an https URL/]
  ]
  for (const [title, metadata, says] of cases) {
    server.settings.metadata = metadata
    const error = await bootProblem(t, server)
    t.match(error, { code: 'FST_TOKEN_DISCOVERY_FAILED', statusCode: 500, message: says, cause: Error }, title)
    t.match(error, { message: `The metadata of the issuer ${issuer} could not be had` }, title)
  }
})

test('F22 lists that are none are left out of the metadata, and the app boots', async (t) => {
  const server = await start(t)
  for (const odd of [{}, 5, true, 'S256', null]) {
    server.settings.metadata = { token_endpoint_auth_methods_supported: odd, code_challenge_methods_supported: odd, scopes_supported: odd, dpop_signing_alg_values_supported: odd }
    const { login } = await startApp(t, server)
    t.equal((await (await login()).get('/token')).status, 200)
  }
})

test('R55 F22 answers that are no metadata fail the boot, naming each address that was asked, its status, and the cause', async (t) => {
  const server = await start(t, { metadataPaths: [openidPath, oauthPath] })
  const { issuer } = server
  const failures: Array<[string, Fault, string]> = [
    ['not found', faults.answer(404, 'not found'), ' answers with status 404'],
    ['an outage', faults.empty(500), ' answers with status 500'],
    ['an error as JSON', faults.oauthError('invalid_request', 400), ' answers with status 400'],
    ['a page', faults.html(), ': status 200, and no JSON object'],
    ['a list', faults.answer(200, []), ': status 200, and no JSON object'],
    ['R7 a redirect', faults.redirect('https://elsewhere.example/'), ' answers with status 301']
  ]
  for (const [title, fault, says] of failures) {
    server.clearFaults()
    server.fault(fault, Infinity, 'metadata')
    t.match(await bootProblem(t, server, impatient), {
      code: 'FST_TOKEN_DISCOVERY_FAILED',
      message: `The metadata of the issuer ${issuer} could not be had: ${issuer}${openidPath}${says}; ${issuer}${oauthPath}${says}`,
      cause: AggregateError
    }, title)
  }
})

test('R55 F22 a provider that does not answer fails the boot, naming the address and the cause', async (t) => {
  const server = await start(t)
  const { issuer } = server
  for (const [title, fault, says] of [
    ['R7 an answer too large', faults.answer(200, { padding: 'x'.repeat(1_048_577) }), /larger than 1048576 bytes/],
    ['a reset', faults.resetBefore(), /ECONNRESET|UND_ERR_SOCKET/],
    ['silence', faults.silence(), /not within 0\.0\d+ s/]
  ] as const) {
    server.clearFaults()
    server.fault(fault, Infinity, 'metadata')
    const error = await bootProblem(t, server, { ...title === 'silence' && { requestTimeout: 0.05 }, ...impatient })
    t.match(error, { code: 'FST_TOKEN_DISCOVERY_FAILED', message: says, cause: { name: 'BackchannelError' } }, title)
    t.match(error, { message: `${issuer}${openidPath}: No answer from ${issuer}` }, title)
  }
  await server.refuseConnections()
  t.match(await bootProblem(t, server, impatient), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: `${issuer}${openidPath}: No answer from ${issuer}: ECONNREFUSED`, cause: { name: 'BackchannelError' } }, 'refused')
})

test('F22 a document of another host or path names both issuers', async (t) => {
  const server = await start(t)
  const { issuer } = server
  const { port } = new URL(issuer)
  const error = await bootProblem(t, server, { issuer: `http://localhost:${port}`, backchannel: { connect: { family: 4 } } })
  t.match(error, { code: 'FST_TOKEN_DISCOVERY_FAILED', message: `The metadata of the issuer http://localhost:${port} could not be had: http://localhost:${port}${openidPath}: the document names the issuer ${issuer}; give that` })
  server.settings.metadataPaths = [`/realms/a${openidPath}`]
  server.settings.metadata = { issuer: `${issuer}/realms/A` }
  t.match(await bootProblem(t, server, { issuer: `${issuer}/realms/a` }), { message: new RegExp(`the issuer ${issuer}/realms/a could.*names the issuer ${issuer}/realms/A; give that`) })
})

for (const [title, fault] of Object.entries({
  'a page': faults.html(),
  'a list': faults.answer(200, []),
  'an empty 200': faults.empty(200),
  'a redirect to the login page': faults.redirect('https://elsewhere.example/', 302),
  ...Object.fromEntries([400, 401, 403, 404, 405, 410, 429, 500, 501, 503].map((status) => [`a ${status}`, faults.empty(status)])),
  'a 400 with an OAuth error': faults.oauthError('invalid_request'),
  'a document of another issuer': faults.answer(200, { issuer: 'https://elsewhere.example', token_endpoint: 'https://elsewhere.example/token' }),
  'a document without a token_endpoint': faults.without('token_endpoint')
})) {
  test(`F18 where OpenID Connect Discovery brings ${title}, the RFC 8414 document is used`, async (t) => {
    const server = await start(t, { expiresIn: 60, metadataPaths: [openidPath, oauthPath] })
    server.fault(fault, 1, 'metadata')
    const { clock, login } = await startApp(t, server)
    t.strictSame(pathsOf(server), [openidPath, oauthPath])
    const browser = await login()
    clock.now += 61
    t.equal((await browser.get('/token')).status, 200)
  })
}

test('F18 an outage an hour later is no reason to go over to the RFC 8414 document, which may say less', async (t) => {
  const server = await start(t, { expiresIn: 60, metadataPaths: [openidPath, oauthPath] })
  const { clock, login, logged } = await startApp(t, server)
  const browser = await login()
  server.fault(faults.empty(503), 1, 'metadata')
  clock.now += 3601
  t.equal((await browser.get('/token')).status, 200)
  await logged(/could not be discovered again/)
  t.strictSame(server.requestsTo('metadata').map(({ url }) => url.pathname), [openidPath, openidPath])
})

test('F19 a provider that comes up after the app is waited for, and the wait is said once', async (t) => {
  for (const [title, fault] of Object.entries({ 'no connection': faults.resetBefore(), 'a gateway without it': faults.html(502), busy: faults.retryAfter(429, 1) })) {
    const server = await start(t)
    server.fault(fault, 3, 'metadata')
    const { log } = await startApp(t, server)
    const said = log.filter((line) => line.includes('The metadata could not be discovered yet; it is asked for again, for 8 s'))
    t.equal(said.length, 1, title)
    t.match(said[0], /"level":40.*FST_TOKEN_DISCOVERY_FAILED/, title)
  }
})

test('F19 a try that hangs leaves time for another, and the boot goes on', async (t) => {
  const server = await start(t)
  server.fault(faults.silence(), 1, 'metadata')
  await startApp(t, server, { fastify: { pluginTimeout: 2000 } })
  t.equal(server.discoveries, 2)
})

test('F19 a provider that hangs for good fails the boot with what has happened, before Fastify loses its own patience', async (t) => {
  const server = await start(t)
  const gate = server.hold({ endpoint: 'metadata' })
  t.match(await bootProblem(t, server, impatient), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: /No answer from .*: not within/ })
  t.ok(gate.waiting > 1, 'it was asked more than once')
})

test('F19 without a time-out of Fastify\'s the patience has an end of its own', async (t) => {
  const server = await start(t)
  server.fault(faults.empty(503), 1, 'metadata')
  const { log } = await startApp(t, server, { fastify: { pluginTimeout: 0 } })
  t.ok(log.some((line) => line.includes('it is asked for again, for 60 s')))
})

test('F19 what will not pass fails the boot at once', async (t) => {
  const server = await start(t, { metadataPaths: [] })
  await bootProblem(t, server)
  t.strictSame(pathsOf(server), [openidPath, oauthPath])
})

test('F21 an https issuer whose document names plain http endpoints is refused, on loopback too, unless that origin is listed', async (t) => {
  const server = await start(t)
  const issuer = 'https://idp.example.com'
  const agent = new MockAgent()
  agent.disableNetConnect()
  t.teardown(async () => { await agent.close() })
  for (const [name, url] of [['token_endpoint', 'http://keycloak:8080/token'], ['jwks_uri', 'http://idp.example.com/jwks'], ['authorization_endpoint', 'http://localhost:8080/a'], ['end_session_endpoint', 'http://127.0.0.1/logout']] as const) {
    const document = { issuer, token_endpoint: `${issuer}/token`, [name]: url }
    agent.get(issuer).intercept({ path: openidPath }).reply(200, document, { headers: { 'content-type': 'application/json' } }).times(2)
    agent.get(issuer).intercept({ path: oauthPath }).reply(404).times(1)
    t.match(await bootProblem(t, server, { issuer, backchannel: agent }), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: `${name} is not an https URL: ${url}. Have the provider name its public addresses, or list that origin in allowInsecureRequests` })
    const { log } = await startApp(t, server, { issuer, backchannel: agent, allowInsecureRequests: [new URL(url).origin] })
    t.match(log.find((line) => line.includes('in clear')), new RegExp(`"level":40.*Tokens and secrets may travel to ${new URL(url).origin} in clear, since allowInsecureRequests lists it`))
  }
})

test('a requestTimeout in fractions of a second is one', async (t) => {
  const server = await start(t, { expiresIn: 60 })
  const { login, clock } = await startApp(t, server, { requestTimeout: 1.005, routes: (app) => app.get('/revoke', async (request) => { await request.tokens.revoke(); return {} }) })
  const browser = await login()
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  await browser.get('/revoke')
  t.ok(server.revocations > 0)
})

test('F21 a provider at a plain http origin that allowInsecureRequests lists serves the app, and it is warned of at boot', async (t) => {
  const server = await start(t, { expiresIn: 60 })
  const origin = `http://keycloak:${new URL(server.issuer).port}`
  const lookup: LookupFunction = (_host, _options, done) => { done(null, [{ address: '127.0.0.1', family: 4 }]) }
  server.settings.metadata = { issuer: origin, token_endpoint: `${origin}/token`, revocation_endpoint: `${origin}/revoke`, jwks_uri: `${origin}/jwks` }
  const { clock, login, log } = await startApp(t, server, { issuer: origin, allowInsecureRequests: [origin], backchannel: { connect: { lookup } } })
  const browser = await login({ scope: 'orders' })
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.refreshes, 1)
  t.equal(log.filter((line) => line.includes('"level":40') && line.includes(`Tokens and secrets may travel to ${origin} in clear`)).length, 1)
})

test('members of the document that are null or empty are absent', async (t) => {
  const server = await start(t, { metadata: { revocation_endpoint: null, end_session_endpoint: '', pushed_authorization_request_endpoint: '', mtls_endpoint_aliases: { token_endpoint: '' } } })
  const { login } = await startApp(t, server, { routes: (app) => app.get('/revoke', async (request) => { await request.tokens.revoke(); return {} }) })
  t.equal((await (await login()).get('/revoke')).status, 200)
  t.equal(server.revocations, 0)
  server.settings.metadata = { token_endpoint: '' }
  t.match(await bootProblem(t, server), { message: /the document has no token_endpoint/ })
})

test('R55 the client authenticates as the options say, whatever the metadata lists, and unknown members are ignored', async (t) => {
  const server = await start(t, { expiresIn: 60 })
  for (const listed of [undefined, ['client_secret_post'], ['private_key_jwt', 'none']]) {
    server.settings.metadata = { token_endpoint_auth_methods_supported: listed, unknown: { deep: true }, mtls_endpoint_aliases: { token_endpoint: 'https://mtls.example/token' } }
    const { clock, login } = await startApp(t, server)
    const browser = await login()
    clock.now += 61
    t.equal((await browser.get('/token')).status, 200)
    t.equal(server.requestsTo('token').at(-1)?.clientAuthentication, 'client_secret_basic')
  }
  const { clock, login } = await startApp(t, server, { clientSecret: undefined, clientAuthentication: clientSecretPost(server.settings.clientSecret) })
  const browser = await login()
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  t.equal(server.requestsTo('token').at(-1)?.clientAuthentication, 'client_secret_post')
})

test('metadata by hand needs no discovery', async (t) => {
  const server = await start(t, { expiresIn: 60 })
  const { issuer } = server
  const { clock, login } = await startApp(t, server, { issuer: undefined, metadata: { issuer, token_endpoint: `${issuer}/token` } })
  const browser = await login({ scope: 'orders' })
  clock.now += 7200
  t.equal((await browser.get('/token')).status, 200)
  t.strictSame(pathsOf(server), ['/token'])
})

test('R55 metadata is asked for again after an hour, beside the requests, and a failure keeps the old document and is logged', async (t) => {
  const server = await start(t, { expiresIn: 60 })
  const { clock, login, logged } = await startApp(t, server)
  const browser = await login({ scope: 'orders' })
  const refresh = async (seconds: number): Promise<void> => {
    clock.now += seconds
    t.equal((await browser.get('/token')).status, 200)
  }
  await refresh(3599)
  t.equal(server.discoveries, 1, 'not within the hour')

  server.fault(faults.empty(503), 1, 'metadata')
  const gate = server.hold({ endpoint: 'metadata' })
  await refresh(61)
  await gate.arrived()
  await refresh(61)
  t.equal(gate.waiting, 1, 'nobody waits for it, and nobody asks twice')
  gate.release()
  t.match(await logged(/could not be discovered again/), /"level":40.*FST_TOKEN_DISCOVERY_FAILED/)
  await refresh(61)

  server.settings.metadata = { token_endpoint: 'http://idp.example.com/token' }
  await refresh(3600)
  t.match(await logged(/token_endpoint is not an https URL/), /the old document stays in use/)
  await refresh(61)
  t.equal(server.discoveries, 3)
})

test('R55 a later discovery that succeeds is in force', async (t) => {
  const server = await start(t, { expiresIn: 60 })
  const { clock, login } = await startApp(t, server)
  const browser = await login({ scope: 'orders' })
  server.settings.metadata = { token_endpoint: `${server.issuer}/token?version=2` }
  clock.now += 3601
  await browser.get('/token')
  for (let tries = 0; tries < 1000 && !server.requestsTo('token').some(({ url }) => url.search !== ''); tries++) {
    clock.now += 61
    t.equal((await browser.get('/token')).status, 200)
  }
  t.equal(server.requestsTo('token').at(-1)?.url.search, '?version=2')
  t.equal(server.discoveries, 2)
})
