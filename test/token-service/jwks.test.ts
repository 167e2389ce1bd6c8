import { decodeProtectedHeader } from 'jose'
import { test } from 'tap'
import { clientSecretPost } from '../../lib/index.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { bySecret, forgeries, type Forgery } from '../support/authorization-server/forgeries.ts'
import type { Browser } from '../support/browser.ts'
import { authorize, logIn, type LoginApp, type LoginAppOptions, startLogin, startLoginApp, transactionsOf } from '../support/login-flow.ts'

/** A provider that says it signs with everything there is: nothing is refused for its algorithm alone. */
const signsWithAnything = { metadata: { id_token_signing_alg_values_supported: ['ES256', 'HS256', 'none'] } }

interface App extends LoginApp {
  /** The id_token that the session of a browser holds. */
  idToken (browser: Browser): Promise<string>
  /** How often the keys were asked for. */
  readonly jwks: () => number
}

async function start (t: Parameters<typeof startLoginApp>[0], { server, ...options }: LoginAppOptions = {}): Promise<App> {
  const app = await startLoginApp(t, {
    server: { ...signsWithAnything, ...server },
    routes: (fastify) => { fastify.get('/id-token', async (request) => ({ idToken: (await request.tokens.get())?.idToken })) },
    ...options
  })
  return {
    ...app,
    idToken: async (browser) => String((await browser.get('/id-token')).json.idToken),
    jwks: () => app.server.requestsTo('jwks').length
  }
}

/** A browser with a session that is due to be refreshed. */
async function due ({ browser, clock, server }: LoginApp): Promise<Browser> {
  const answer = await logIn(browser)
  if (answer.status !== 303) throw new Error(`The login was answered ${answer.status}`)
  clock.now += 301
  server.forgetRequests()
  return browser
}

const notTheProviders: Array<[what: string, forge: Forgery, problem: RegExp]> = [
  ['signed by another key under the same name', forgeries.byAnotherKey, /signature verification failed/],
  ['signed by a key that nobody has published', forgeries.byUnknownKey, /no applicable key/],
  ['not signed at all', forgeries.unsigned, /alg/i],
  ['signed with the public key, as if that were a secret', forgeries.byPublicKey, /signature verification failed/],
  ['signed with another secret than the client\'s', bySecret('another secret, long enough for HS256'), /signature verification failed/]
]

for (const [what, forge, problem] of notTheProviders) {
  test(`a login whose id_token is ${what} is refused`, async (t) => {
    const { browser, server } = await start(t)
    server.fault(faults.forged(forge))
    const answer = await logIn(browser)
    t.match(answer, { status: 400, json: { code: 'FST_TOKEN_LOGIN_FAILED', message: problem } })
    t.match([server.codeExchanges, transactionsOf(browser).length], [1, 0])
    t.equal((await browser.get('/token')).status, 401)
  })

  test(`an id_token that comes with a refresh, ${what}, is left out, and the tokens count`, async (t) => {
    const app = await start(t)
    const browser = await due(app)
    const { server, log } = app
    server.fault(faults.forged(forge))
    const before = (await browser.get('/token')).json.token
    t.equal(server.refreshes, 1)
    t.ok(server.whoHas(String(before)))
    const kept = await app.idToken(browser)
    t.match(decodeProtectedHeader(kept), { alg: 'ES256', kid: server.signer.jwks.keys[0]?.kid })
    t.ok(await server.signer.read(kept), 'it is the one of the login')
    t.equal(log.filter((line) => line.includes('"member":"id_token"')).length, 1)
  })
}

test('id_tokens that the secret of the client signs are verified by that', async (t) => {
  const clientSecret = 'a secret that is long enough for HS256'
  for (const clientAuthentication of [undefined, clientSecretPost(clientSecret)]) {
    const { browser, server } = await start(t, { server: { clientSecret }, ...clientAuthentication && { clientAuthentication, clientSecret: undefined } })
    server.fault(faults.forged(bySecret(clientSecret)))
    t.equal((await logIn(browser)).status, 303)
  }
})

test('an id_token that a secret signs is refused where this client has none, and the error says what to do', async (t) => {
  const clientSecret = 'a secret that is long enough for HS256'
  const { browser, server } = await start(t, {
    server: { clientSecret, clientAuthentication: ['client_secret_post'] },
    clientSecret: undefined,
    clientAuthentication: (_server, { client_id: id }, body) => {
      body.set('client_id', id)
      body.set('client_secret', clientSecret)
    }
  })
  server.fault(faults.forged(bySecret(clientSecret)))
  t.match((await logIn(browser)).json, { message: /HS256.*a secret of the client that is not known here\. Have the provider sign with a key of its own/ })
})

test('where the secret of the client cannot be had that an id_token is signed with, the login may be tried again', async (t) => {
  const clientSecret = 'a secret that is long enough for HS256'
  const secrets = [clientSecret, undefined, clientSecret]
  const { browser, server } = await start(t, {
    server: { clientSecret },
    clientSecret: undefined,
    clientAuthentication: clientSecretPost(() => secrets.shift() ?? Promise.reject(new Error('the vault is closed')))
  })
  server.settings.clientAuthentication = ['client_secret_post']
  server.fault(faults.forged(bySecret(clientSecret)))
  const callback = await authorize(await startLogin(browser))
  t.match(await browser.get(callback), { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.equal((await browser.get(callback)).status, 303)
  t.equal(server.codeExchanges, 1)
})

test('the keys are asked for once, for all logins and refreshes, and again after ten minutes', async (t) => {
  const { browser, clock, server, jwks } = await start(t)
  for (let login = 0; login < 3; login++) await logIn(browser)
  clock.now += 301
  await browser.get('/token')
  t.match([server.refreshes, jwks()], [1, 1])
  clock.now += 300
  await logIn(browser)
  t.equal(jwks(), 2)
})

test('keys that cannot be had again stay in use, are not asked for by everybody, and it is said', async (t) => {
  const { browser, clock, server, jwks, log } = await start(t)
  await logIn(browser)
  clock.now += 601
  server.fault(faults.empty(503), Infinity, 'jwks')
  for (let login = 0; login < 3; login++) t.equal((await logIn(browser)).status, 303)
  t.equal(jwks(), 2)
  t.equal(log.filter((line) => line.includes('The keys of the provider could not be had again')).length, 1)
  server.clearFaults()
  clock.now += 31
  await logIn(browser)
  t.equal(jwks(), 3)
})

test('that keys could not be had again is said once, however many wait for them', async (t) => {
  const { browser, clock, server, jwks, log } = await start(t)
  await logIn(browser)
  clock.now += 601
  const callbacks = await Promise.all(Array.from({ length: 5 }, async () => {
    const tab = browser.clone()
    return { tab, callback: await authorize(await startLogin(tab)) }
  }))
  server.fault(faults.empty(503), 1, 'jwks')
  const gate = server.hold({ endpoint: 'jwks' })
  const answers = Promise.all(callbacks.map(({ tab, callback }) => tab.get(callback)))
  await gate.arrived()
  gate.release()
  for (const { status } of await answers) t.equal(status, 303)
  t.equal(jwks(), 2)
  t.equal(log.filter((line) => line.includes('The keys of the provider could not be had again')).length, 1)
})

test('a key that is not known yet is asked for at once, and by one request, however many log in', async (t) => {
  const { browser, server, jwks } = await start(t)
  await logIn(browser)
  await server.signer.rotate()
  const callbacks = await Promise.all(Array.from({ length: 5 }, async () => {
    const tab = browser.clone()
    return { tab, callback: await authorize(await startLogin(tab)) }
  }))
  const gate = server.hold({ endpoint: 'jwks' })
  const answers = Promise.all(callbacks.map(({ tab, callback }) => tab.get(callback)))
  await gate.arrived()
  gate.release()
  for (const { status } of await answers) t.equal(status, 303)
  t.equal(jwks(), 2)
  await server.signer.rotate({ keepsOld: true })
  t.equal((await logIn(browser)).status, 303, 'and another one, a moment later')
  t.equal(jwks(), 3)
})

test('a refresh asks for a key that it does not know, and its id_token counts', async (t) => {
  const app = await start(t)
  const browser = await due(app)
  await app.server.signer.rotate()
  t.match(decodeProtectedHeader(await app.idToken(browser)), { kid: app.server.signer.jwks.keys[0]?.kid })
  t.match([app.server.refreshes, app.jwks()], [1, 1])
})

test('keys without a name are tried, those that come later, too', async (t) => {
  const { browser, server, jwks } = await start(t)
  await server.signer.rotate({ isNamed: false })
  t.equal((await logIn(browser)).status, 303)
  await server.signer.rotate({ isNamed: false, keepsOld: true })
  t.equal((await logIn(browser)).status, 303)
  server.signer.jwks.keys.reverse()
  t.equal((await logIn(browser)).status, 303)
  t.equal(jwks(), 2)
  server.fault(faults.forged((claims, signer) => forgeries.byUnknownKey(claims, signer).then((token) => withoutName(token))))
  t.match((await logIn(browser)), { status: 400, json: { message: /signature verification failed/ } })
})

/** The same token with a header that names no key: signed by none of them in any case. */
function withoutName (token: string): string {
  const [, ...rest] = token.split('.')
  return [Buffer.from('{"alg":"ES256"}').toString('base64url'), ...rest].join('.')
}

test('a signature that is wrong is said, also where keys could not be had before', async (t) => {
  const app = await start(t)
  const { server, clock, log } = app
  const browser = await due(app)
  await server.signer.rotate()
  server.fault(faults.empty(503), 1, 'jwks')
  await browser.get('/token')
  clock.now += 301
  server.fault(faults.forged(forgeries.byAnotherKey))
  await browser.get('/token')
  t.equal(server.refreshes, 2)
  const said = log.filter((line) => line.includes('"member":"id_token"'))
  t.match(said, [/cannot be had: it answers with status 503/, /signature verification failed/])
  t.equal(said.length, 2)
})

const noKeys: Array<[what: string, fault: Fault]> = [
  ['503', faults.empty(503)],
  ['404', faults.empty(404)],
  ['a page', faults.html()],
  ['a document without keys', faults.answer(200, { keys: 'none' })],
  ['a document that is too large', faults.answer(200, { keys: [], padding: 'x'.repeat(2_000_000) })],
  ['a redirect', faults.redirect('https://elsewhere.example/jwks')],
  ['no answer', faults.resetBefore()]
]

for (const [what, fault] of noKeys) {
  test(`where ${what} is what comes for the keys, a login is a 503 that has spent nothing, and its reload logs in`, async (t) => {
    const { browser, server } = await start(t)
    server.fault(fault, 1, 'jwks')
    const callback = await authorize(await startLogin(browser, '/auth/login?returnTo=/page'))
    const failed = await browser.get(callback)
    t.match(failed, { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
    t.match(failed.headers.get('retry-after'), /^\d+$/)
    t.match([server.codeExchanges, transactionsOf(browser).length], [0, 1])
    const answer = await browser.get(callback)
    t.match([answer.status, answer.headers.get('location'), server.codeExchanges], [303, '/page', 1])
  })

  test(`where ${what} is what comes for the keys, a refresh does without its id_token, and asks no more for a while`, async (t) => {
    const app = await start(t)
    const { server, clock, jwks } = app
    const browser = await due(app)
    const login = server.signer.jwks.keys[0]?.kid
    await server.signer.rotate()
    server.fault(fault, Infinity, 'jwks')
    t.match(decodeProtectedHeader(await app.idToken(browser)), { kid: login }, 'it has the one of the login')
    clock.now += 301
    t.equal((await browser.get('/token')).status, 200)
    t.match([server.refreshes, jwks()], [2, 2])
    await browser.get('/id-token')
    server.settings.expiresIn = 5
    clock.now += 301
    await browser.get('/token')
    clock.now += 6
    await browser.get('/token')
    t.match([server.refreshes, jwks()], [4, 3])
  })
}

test('a login whose key is changed while the keys cannot be had is a 503 once its code is spent; the reload needs no other code', async (t) => {
  const { browser, server } = await start(t)
  await logIn(browser)
  await server.signer.rotate()
  server.forgetRequests()
  server.fault(faults.empty(503), 2, 'jwks')
  const callback = await authorize(await startLogin(browser))
  t.equal((await browser.get(callback)).status, 503)
  t.equal((await browser.get(callback)).status, 503)
  t.equal((await browser.get(callback)).status, 303)
  t.equal(server.codeExchanges, 1)
  t.equal((await browser.get('/token')).status, 200)
})

test('keys that do not come delay a refresh by a second at most, and what was asked for serves the next one', async (t) => {
  const app = await start(t, { requestTimeout: 120 })
  const { server, clock } = app
  const browser = await due(app)
  const login = server.signer.jwks.keys[0]?.kid
  await server.signer.rotate()
  const gate = server.hold({ endpoint: 'jwks' })
  t.match(decodeProtectedHeader(await app.idToken(browser)), { kid: login })
  t.equal(server.refreshes, 1)
  gate.release()
  clock.now += 301
  t.match(decodeProtectedHeader(await app.idToken(browser)), { kid: server.signer.jwks.keys[0]?.kid })
  t.equal(app.jwks(), 1)
})

for (const [what, options] of [
  ['where login.verifySignature is false', { login: { verifySignature: false } }],
  ['where the provider publishes none', { server: { metadata: { jwks_uri: undefined } } }]
] satisfies Array<[string, LoginAppOptions]>) {
  test(`nobody asks for keys ${what}`, async (t) => {
    const { browser, server, jwks, clock } = await start(t, options)
    server.fault(faults.forged(forgeries.byAnotherKey))
    t.equal((await logIn(browser)).status, 303)
    clock.now += 301
    await browser.get('/token')
    t.match([server.refreshes, jwks()], [1, 0])
  })
}

test('without openid there is no id_token to verify, and one that comes all the same is left out where it is not the provider\'s', async (t) => {
  const { browser, server, jwks } = await start(t, { login: { scope: ['orders'] } })
  t.equal((await logIn(browser)).status, 303)
  t.equal(jwks(), 0)
  server.fault(faults.members({ id_token: await server.signer.sign({ iss: server.issuer, sub: 'alice', aud: 'web', iat: 1, exp: 9_999_999_999 }) }))
  t.equal((await logIn(browser)).status, 303)
  t.type((await browser.get('/id-token')).json.idToken, 'string')
  server.fault(faults.members({ id_token: await forgeries.byAnotherKey({ iss: server.issuer, sub: 'alice', aud: 'web', iat: 1, exp: 9_999_999_999 }, server.signer) }))
  t.equal((await logIn(browser)).status, 303)
  t.equal((await browser.get('/id-token')).json.idToken, undefined)
})
