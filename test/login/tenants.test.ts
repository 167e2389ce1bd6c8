import { test, type Test } from 'tap'
import { tenantsProblem } from '../../lib/options/provider-check.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { openidPath } from '../support/authorization-server/settings.ts'
import { Browser } from '../support/browser.ts'
import { callbackUri, logIn } from '../support/login-flow.ts'
import { startApp, type TestAppOptions } from '../support/start-app.ts'

const alices = 'aaaaaaaa-0000-4000-8000-000000000001'
const bobs = 'BBBBBBBB-0000-4000-8000-000000000002'
const personal = '9188040d-6c67-4c5b-b112-36a304b66dad'

/** A server that names itself as Entra ID does under this address. */
async function entra (t: Test, address: string, place = '{tenantid}'): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ expiresIn: 60, metadataPaths: [`/${address}/v2.0${openidPath}`] })
  t.teardown(() => server.close())
  server.settings.metadata = { issuer: issuerOf(server, place), authorization_response_iss_parameter_supported: undefined }
  return server
}

const issuerOf = (server: AuthorizationServer, tenant: string) => `${server.issuer}/${tenant}/v2.0`

async function start (t: Test, server: AuthorizationServer, address: string, options: TestAppOptions = {}) {
  const app = await startApp(t, server, {
    issuer: issuerOf(server, address),
    login: { callbackUri, scope: ['openid', 'offline_access'] },
    routes: (app) => app.get('/identity', async (request) => (await request.tokens.get())?.identity),
    ...options
  })
  return { ...app, browser: new Browser(app.origin) }
}

/** What the next login, or refresh, says of the user. */
function nextIdToken (server: AuthorizationServer, claims: { tid?: string | undefined, iss: string }, iss: string | null = null): void {
  server.clearFaults()
  server.fault(faults.idToken(claims), 1)
  server.fault(faults.redirectParameter('iss', iss), Infinity, 'authorization')
}

for (const address of ['common', 'organizations']) {
  test(`F20 under /${address} people of any tenant log in, and the tenant is part of who they are`, async (t) => {
    const server = await entra(t, address)
    const { browser, clock } = await start(t, server, address)
    const iss = issuerOf(server, alices)
    nextIdToken(server, { tid: alices, iss })
    t.equal((await logIn(browser)).status, 303)
    t.match((await browser.get('/identity')).json, { iss, sub: 'alice' })

    clock.now += 61
    nextIdToken(server, { tid: alices, iss })
    t.equal((await browser.get('/token')).status, 200)
    t.equal(server.refreshes, 1)
    t.match((await browser.get('/identity')).json, { iss })
  })
}

test('F20 R46 a refreshed id_token of another tenant ends the session', async (t) => {
  const server = await entra(t, 'common')
  const { browser, clock } = await start(t, server, 'common')
  nextIdToken(server, { tid: alices, iss: issuerOf(server, alices) })
  await logIn(browser)
  clock.now += 61
  nextIdToken(server, { tid: bobs, iss: issuerOf(server, bobs) })
  const answer = await browser.get('/token')
  t.equal(answer.status, 401)
  t.match(answer.json, { code: 'FST_TOKEN_LOGIN_REQUIRED' })
})

test('F20 an id_token whose issuer is not that of its tenant is refused', async (t) => {
  const server = await entra(t, 'common')
  for (const claims of [
    { tid: bobs, iss: issuerOf(server, alices) },
    { iss: issuerOf(server, alices) },
    { tid: alices, iss: issuerOf(server, '{tenantid}') },
    { tid: '{tenantid}', iss: issuerOf(server, '{tenantid}') },
    { tid: alices, iss: `https://elsewhere.example/${alices}/v2.0` },
    { tid: `${alices}/v2.0/x`, iss: issuerOf(server, `${alices}/v2.0/x`) }
  ]) {
    const { browser } = await start(t, server, 'common')
    nextIdToken(server, claims)
    const answer = await logIn(browser)
    t.equal(answer.status, 400, JSON.stringify(claims))
    t.match(answer.json, { code: 'FST_TOKEN_LOGIN_FAILED' })
    t.equal((await browser.get('/token')).status, 401)
  }
})

test('F20 with tenants, people of others cannot log in, and are told why', async (t) => {
  const server = await entra(t, 'organizations')
  const { browser } = await start(t, server, 'organizations', { tenants: [alices.toUpperCase(), 'cccccccc-0000-4000-8000-000000000003'] })
  nextIdToken(server, { tid: bobs, iss: issuerOf(server, bobs) })
  const refused = await logIn(browser)
  t.equal(refused.status, 400)
  t.match(refused.json, { code: 'FST_TOKEN_LOGIN_FAILED', message: 'this account is of a tenant that may not log in here: it is not listed in tenants' })
  t.equal((await browser.get('/token')).status, 401)
  nextIdToken(server, { tid: alices, iss: issuerOf(server, alices) })
  t.equal((await logIn(browser)).status, 303)
  t.equal((await browser.get('/token')).status, 200)
})

test('F20 the issuer in the authorization response, if any, is that of a tenant', async (t) => {
  const server = await entra(t, 'common')
  const { browser } = await start(t, server, 'common')
  const iss = issuerOf(server, alices)
  for (const [named, status] of [[iss, 303], [`${server.issuer}/v2.0`, 400], [issuerOf(server, 'a/b'), 400], ['https://elsewhere.example', 400]] as const) {
    nextIdToken(server, { tid: alices, iss }, named)
    t.equal((await logIn(browser)).status, status, named)
  }
})

test('F20 under /consumers the issuer is the tenant of all personal accounts', async (t) => {
  const server = await entra(t, 'consumers', personal)
  const { browser } = await start(t, server, 'consumers')
  const iss = issuerOf(server, personal)
  nextIdToken(server, { tid: personal, iss })
  t.equal((await logIn(browser)).status, 303)
  t.match((await browser.get('/identity')).json, { iss })
})

test('F20 metadata by hand may have the place of the tenant in it, too', async (t) => {
  const server = await entra(t, 'common')
  const metadata = { issuer: issuerOf(server, '{tenantid}'), authorization_endpoint: `${server.issuer}/authorize`, token_endpoint: `${server.issuer}/token`, id_token_signing_alg_values_supported: ['ES256'] }
  const { browser } = await start(t, server, 'common', { issuer: undefined, metadata, tenants: [alices] })
  nextIdToken(server, { tid: alices, iss: issuerOf(server, alices) })
  t.equal((await logIn(browser)).status, 303)
})

test('F20 tenants of an issuer that is one fail the boot, and so does a document that is of none of both', async (t) => {
  const server = await entra(t, 'consumers', personal)
  await t.rejects(start(t, server, 'consumers', { tenants: [alices] }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: tenantsProblem(issuerOf(server, personal)) })
  server.settings.metadataPaths = [`/${alices}/v2.0${openidPath}`]
  for (const place of ['{tenantid}', bobs]) {
    server.settings.metadata = { issuer: issuerOf(server, place) }
    await t.rejects(start(t, server, alices), { code: 'FST_TOKEN_DISCOVERY_FAILED', message: `the document names the issuer ${issuerOf(server, place)}` })
  }
})
