import { readFileSync } from 'node:fs'
import { test } from 'tap'
import ts from 'typescript'
import { clientSecretPost, type EditableRequest, type TokenManagementOptions } from '../../lib/index.ts'
import { checkOptions } from '../../lib/options/check.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { goOn, logIn, startLoginApp } from '../support/login-flow.ts'
import { ages, startScenario } from '../support/scenario.ts'
import { sessionKey } from '../support/start-app.ts'

const notes = readFileSync('docs/providers.md', 'utf8')
const sections = [...notes.matchAll(/^## (.+)\n([^]*?)(?=^## |$(?![^]))/gm)].map(([, name = '', text = '']) => ({ name, text }))

/** What a snippet registers the plugin with. */
async function optionsOf (snippet: string): Promise<TokenManagementOptions> {
  const registered: TokenManagementOptions[] = []
  const app = { register: async (_plugin: unknown, options: TokenManagementOptions) => { registered.push(options) } }
  const env = new Proxy({}, { get: (_, name) => name === 'SESSION_KEY' ? sessionKey : `the-${String(name)}` })
  const run = Reflect.construct(async function () {}.constructor, ['app', 'tokenManagement', 'clientSecretPost', 'process', ts.transpile(snippet.replace(/^import .*$/m, ''), { target: ts.ScriptTarget.ESNext })])
  await run(app, {}, clientSecretPost, { env })
  const [options] = registered
  if (options === undefined) throw new Error('The snippet registers nothing')
  return options
}

test('the notes have a section for each provider, with options that are valid, and a link to the provider\'s own page', async (t) => {
  t.strictSame(sections.map(({ name }) => name), ['Keycloak', 'Microsoft Entra ID', 'Auth0', 'Okta', 'Google', 'AWS Cognito', 'Duende IdentityServer', 'GitHub', 'Slack'])
  for (const { name, text } of sections) {
    const [snippet = ''] = /(?<=```ts\n)[^]*?(?=```)/.exec(text) ?? []
    const checked = checkOptions(await optionsOf(snippet), { secureSession: false, tokenStore: 'nobody', session: false, onRequest: () => false, names: [], clients: [] })
    t.match(checked, { login: { scope: Array }, logout: { path: String } }, name)
    t.match(text, /\]\(https:\/\//, name)
    for (const topic of [/refresh token/i, /rotat|used once/i, /logout/i]) t.match(text, topic, name)
  }
})

test('Auth0: the hook of the notes makes an audience of a resource, and the tokens are still kept apart', async (t) => {
  const { tokenRequest } = await optionsOf(/(?<=## Auth0\n\n```ts\n)[^]*?(?=```)/.exec(notes)?.[0] ?? '')
  const { server, login, check } = await startScenario(t, {
    tokenRequest: (request: EditableRequest) => tokenRequest?.(request),
    routes: (app) => app.get('/stock', { config: { tokens: false } }, async (request) => ({ token: await request.accessToken({ resource: 'https://stock.example.com' }) }))
  })
  const browser = await login()
  const first = await browser.get('/stock')
  await check(first, { status: 200, cookie: 'set', tokenRequests: 1, told: ['refreshed'] })
  t.match(server.requestsTo('token')[0]?.params, { audience: 'https://stock.example.com', resource: undefined })
  await check(await browser.get('/stock'), { status: 200 })
  t.not((await browser.get('/token')).json.token, first.json.token)
})

test('Cognito: a logout keeps the logout_uri of the endpoint, and adds the client', async (t) => {
  const { metadata } = await optionsOf(/(?<=## AWS Cognito\n\n```ts\n)[^]*?(?=```)/.exec(notes)?.[0] ?? '')
  const { browser } = await startLoginApp(t, { server: { metadata: { end_session_endpoint: metadata?.end_session_endpoint } } })
  await logIn(browser)
  const { headers } = await goOn(browser, await browser.post('/auth/logout'))
  const { searchParams } = new URL(headers.get('location') ?? '')
  t.match(Object.fromEntries(searchParams), { logout_uri: 'https://app.example.com/', client_id: 'web' })
})

test('GitHub: JSON is asked for, and an error in a 200 is one', async (t) => {
  const { server, browser, clock, log } = await startLoginApp(t, { login: { scope: ['repo'] } })
  server.settings.clock = () => clock.now
  server.fault(faults.members({ error: 'bad_verification_code', error_description: 'The code passed is incorrect or expired.' }))
  t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: /bad_verification_code/ } })
  server.fault(faults.oauthError('incorrect_client_credentials', 200))
  t.match(await logIn(browser), { status: 502, json: { code: 'FST_TOKEN_SERVICE_REFUSED', message: /incorrect_client_credentials/ } })
  server.fault(faults.members({ scope: 'repo,gist', expires_in: undefined, refresh_token: undefined, id_token: undefined }))
  t.equal((await logIn(browser)).status, 303)
  clock.now += 80_000
  t.equal((await browser.get('/token')).status, 200, 'a token without an expiry serves as long as the session')
  t.strictSame(new Set(server.requestsTo('token').map(({ headers }) => headers.accept)), new Set(['application/json']))
  t.notOk(log.some((line) => line.includes('"level":50') && line.includes('bad_verification_code')))
})

test('GitHub: bad_refresh_token ends the session like invalid_grant', async (t) => {
  const { server, loginAged, check } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  server.fault(faults.oauthError('bad_refresh_token', 200))
  await check(await browser.get('/token'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1, told: ['failed: ended, the end'] })
})

test('Slack: the hook of the notes finds the user\'s token, and says errors in the standard\'s words', async (t) => {
  const { tokenResponse } = await optionsOf(/(?<=## Slack\n\n```ts\n)[^]*?(?=```)/.exec(notes)?.[0] ?? '')
  const { server, browser, clock } = await startLoginApp(t, { login: { scope: ['users:read'] }, tokenResponse })
  server.settings.clock = () => clock.now
  server.fault(faults.answer(200, { ok: false, error: 'invalid_code' }))
  t.match(await logIn(browser), { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: /invalid_code/ } })
  server.fault({ alter: (answer) => ({ ...answer, body: { ok: true, access_token: 'xoxb-bot', token_type: 'bot', team: { id: 'T1' }, authed_user: { id: 'U1', ...Object(answer.body), token_type: 'user' } } }) })
  t.equal((await logIn(browser)).status, 303)
  t.not((await browser.get('/token')).json.token, 'xoxb-bot')

  clock.now += ages.expired
  server.fault({ alter: (answer) => ({ ...answer, body: { ok: true, ...Object(answer.body), token_type: 'user' } }) })
  t.equal((await browser.get('/token')).status, 200, 'a refresh is answered with tokens that are not nested')
  clock.now += ages.expired
  server.fault(faults.answer(200, { ok: false, error: 'invalid_refresh_token' }))
  t.match(await browser.get('/token'), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED', message: /invalid_grant/ } })
  server.fault(faults.html(503))
  t.match(await logIn(browser), { status: 503 })
})
