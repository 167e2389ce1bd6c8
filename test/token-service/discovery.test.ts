import { test, type Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
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
    ['with an endpoint that is no URL', { token_endpoint: '/token' }, /token_endpoint is not an https URL/]
  ]
  for (const [title, metadata, says] of cases) {
    server.settings.metadata = metadata
    const error = await bootProblem(t, server)
    t.match(error, { code: 'FST_TOKEN_DISCOVERY_FAILED', statusCode: 500, message: says, cause: Error }, title)
    t.match(error, { message: `The metadata of the issuer ${issuer} could not be had` }, title)
  }
})

test('R55 an answer that is no metadata fails the boot, naming the issuer and the cause', async (t) => {
  const server = await start(t)
  for (const [title, fault] of Object.entries({
    'an outage': faults.empty(500),
    'a page': faults.html(),
    'a list': faults.answer(200, []),
    'R7 a redirect': faults.redirect('https://elsewhere.example/'),
    'R7 an answer too large': faults.huge(),
    'a reset': faults.resetBefore()
  })) {
    server.fault(title.includes('too large') ? faults.answer(200, { padding: 'x'.repeat(1_048_577) }) : fault, 1, 'metadata')
    t.match(await bootProblem(t, server), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: `issuer ${server.issuer}`, cause: Error }, title)
  }
  server.fault(faults.silence(), 1, 'metadata')
  t.match(await bootProblem(t, server, { requestTimeout: 0.05 }), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: /not within 0\.05 s/ }, 'silence')
  const { issuer } = server
  await server.refuseConnections()
  t.match(await bootProblem(t, server), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: `No answer from ${issuer}: ECONNREFUSED`, cause: { name: 'BackchannelError' } }, 'refused')
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
