import { generateKeyPairSync } from 'node:crypto'
import { test } from 'tap'
import type { ClientAuthenticationMethod } from './authorization-server/client-authentication.ts'
import { makeAuthority, selfSigned, x5cOf } from './certificates.ts'
import { credentialsIn, startClientApp } from './client-authentication-app.ts'
import {
  type ClientAuthentication, clientSecretBasic, clientSecretJwt, clientSecretPost, none, privateKeyJwt, tlsClientAuth
} from '../lib/index.ts'

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
  test(`R3 R5 R22 with ${name} the client authenticates in that way alone, for codes, refreshes, its own tokens and revocations`, async (t) => {
    const { server, browser, refresh, logInAndWait, origin } = await startClientApp(t, authentication(), { ...registered, clientAuthentication: [name] })
    await logInAndWait()
    t.equal((await refresh()).answer.status, 200)
    t.equal((await fetch(`${origin}/jobs`)).status, 200)
    t.equal((await browser.post('/auth/logout')).status, 303)

    const posts = server.requests.filter(({ method }) => method === 'POST')
    t.strictSame(posts.map(({ endpoint, grant }) => grant ?? endpoint).slice(0, 4), ['authorization_code', 'refresh_token', 'client_credentials', 'revocation'])
    for (const record of posts) {
      t.equal(record.status, 200)
      t.equal(record.clientAuthentication, name)
      t.strictSame(credentialsIn(record), credentials, 'R3 exactly one method')
      t.equal(record.params.client_id, name === 'client_secret_basic' ? undefined : 'web', 'R28 client_id is sent')
    }
  })
}
