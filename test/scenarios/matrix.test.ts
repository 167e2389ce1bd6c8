import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import Fastify from 'fastify'
import type { ClientMetadata } from 'oidc-provider'
import { test } from 'tap'
import { Browser } from '../support/browser.ts'
import { makeAuthority, selfSigned, x5cOf } from '../support/certificates.ts'
import { callbackUri, startLogin } from '../support/login-flow.ts'
import { startRealProvider } from '../support/real-provider.ts'
import { sessionKey } from '../support/start-app.ts'
import tokenManagement, {
  type ClientAuthentication, clientSecretBasic, clientSecretJwt, clientSecretPost, privateKeyJwt, tlsClientAuth
} from '../../lib/index.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const authority = await makeAuthority()
const ca = authority.cert
const tls = { ...await authority.issue('127.0.0.1'), ca }
const certificate = await authority.issue('web')
const ownCertificate = await selfSigned('web')

interface Method {
  readonly title?: string
  readonly registration: Partial<ClientMetadata>
  readonly authentication: (secret: string) => ClientAuthentication
  /** All that the provider is shown of the client. */
  readonly credentials: string[]
}

const methods: Method[] = [
  { registration: { token_endpoint_auth_method: 'client_secret_basic' }, authentication: clientSecretBasic, credentials: ['header'] },
  { registration: { token_endpoint_auth_method: 'client_secret_post' }, authentication: clientSecretPost, credentials: ['secret'] },
  { registration: { token_endpoint_auth_method: 'client_secret_jwt' }, authentication: (secret) => clientSecretJwt(secret), credentials: ['assertion'] },
  ...[{ ...rsa, alg: 'PS256' as const }, { ...ec, alg: 'ES256' as const }].map(({ privateKey, publicKey, alg }): Method => ({
    title: `private_key_jwt (${alg})`,
    registration: { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: alg, jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'web-1' }] } },
    authentication: () => privateKeyJwt({ key: privateKey, kid: 'web-1', alg }),
    credentials: ['assertion']
  })),
  {
    registration: { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=web' },
    authentication: () => tlsClientAuth({ ...certificate, ca }),
    credentials: ['certificate']
  },
  {
    registration: {
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [{ ...new X509Certificate(ownCertificate.cert).publicKey.export({ format: 'jwk' }), x5c: x5cOf(ownCertificate) }] }
    },
    authentication: () => tlsClientAuth({ ...ownCertificate, ca }),
    credentials: ['certificate']
  }
]

const combinations = [false, true].flatMap((dpop) => [false, true].map((pushed) => ({ dpop, pushed })))

for (const { registration, authentication, credentials, title = registration.token_endpoint_auth_method } of methods) {
  for (const { dpop, pushed } of combinations) {
    test(`R3 ${title} × ${dpop ? 'DPoP with nonces' : 'Bearer'} × ${pushed ? 'PAR' : 'no PAR'}: login, refreshes, the app's own token and revocation at a real provider`, async (t) => {
      const provider = await startRealProvider(t, {
        callbackUri,
        registration: { ...registration, dpop_bound_access_tokens: dpop },
        tls,
        features: {
          dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => dpop },
          pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: pushed }
        }
      })
      const { issuer, client, seen } = provider
      const app = Fastify({ forceCloseConnections: true })
      t.teardown(() => app.close())
      await app.register(tokenManagement, {
        issuer,
        clientId: client.id,
        clientAuthentication: authentication(client.secret),
        dpop,
        session: { key: sessionKey },
        login: { callbackUri, scope: ['openid', 'offline_access'] },
        clients: { jobs: {} }
      })
      app.get('/renew', async (request) => ({ token: await request.accessToken({ forceRenewal: true }) }))
      app.get('/jobs', async () => ({ token: await app.clientAccessToken('jobs') }))
      const browser = new Browser(await app.listen({ port: 0, host: '127.0.0.1' }))

      t.equal((await browser.get(await provider.authorize(await startLogin(browser)))).status, 303)
      const tokens: string[] = []
      for (const path of ['/renew', '/renew', '/jobs']) {
        const { status, json } = await browser.get(path)
        t.equal(status, 200, path)
        tokens.push(String(json.token))
        t.match(await provider.find(String(json.token)), { jkt: dpop ? /^[\w-]{43}$/ : undefined }, 'the token lives, bound to a key where it should be')
      }
      t.equal((await browser.post('/auth/logout')).status, 200)
      t.strictSame(await Promise.all(tokens.slice(0, 2).map(provider.find)), [undefined, undefined], 'the user\'s tokens are revoked')

      const answered = seen.filter(({ error }) => error !== 'use_dpop_nonce')
      t.strictSame(answered.map((request) => request.for), [
        ...pushed ? ['/request'] : [], 'authorization_code', 'refresh_token', 'refresh_token', 'client_credentials', '/token/revocation', '/token/revocation'
      ])
      t.equal(seen.length - answered.length, dpop ? 1 : 0, 'R35 R36 one retry in all: the nonce of each answer serves the next request')
      for (const request of answered) {
        t.match(request, {
          status: request.for === '/request' ? 201 : 200,
          method: registration.token_endpoint_auth_method,
          proof: dpop && request.for !== '/token/revocation'
        }, String(request.for))
        t.strictSame(request.credentials, credentials, 'and nothing else')
      }
    })
  }
}
