import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type JWTPayload, SignJWT } from 'jose'
import { test, type Test } from 'tap'
import { Agent, request } from 'undici'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { longAgo, makeAuthority, type Pair, selfSigned, x5cOf } from '../support/certificates.ts'

/* How strict the server of our tests is about clients: what it lets in proves nothing unless it keeps all of this out. */

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const now = Math.floor(Date.now() / 1000)
const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

async function start (t: Test, settings: Partial<Settings>): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ clock: () => now, clientJwks: { keys: [publicKey.export({ format: 'jwk' })] }, ...settings })
  t.teardown(() => server.close())
  return server
}

async function post (origin: string, body: Record<string, string>, { dispatcher, ...headers }: { dispatcher?: Agent, authorization?: string } = {}) {
  const answer = await request(`${origin}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...body }).toString(),
    ...dispatcher && { dispatcher }
  })
  const json: unknown = await answer.body.json()
  return { status: answer.statusCode, ...Object(json) }
}

function assert (claims: JWTPayload, { key = privateKey, alg = 'ES256', typ }: { key?: KeyObject | Uint8Array, alg?: string, typ?: string } = {}): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, ...typ !== undefined && { typ } }).sign(key)
}

test('R25 R26 an assertion is taken once, and only with the right claims, times and signature', async (t) => {
  const server = await start(t, { clientAuthentication: ['client_secret_jwt', 'private_key_jwt'] })
  let count = 0
  const right = () => ({ iss: 'web', sub: 'web', aud: server.issuer, jti: String(count++), exp: now + 60, iat: now, nbf: now })
  const send = async (assertion: string, more = {}) => await post(server.issuer, { client_assertion_type: type, client_assertion: assertion, ...more })
  t.match(await send(await assert(right())), { status: 200 })
  t.match(await send(await assert(right(), { key: Buffer.from(server.settings.clientSecret), alg: 'HS256' })), { status: 200 })

  const once = await assert(right())
  t.match(await send(once), { status: 200 })
  const another = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const wrong = {
    'used before': once,
    'of another issuer': await assert({ ...right(), iss: 'another' }),
    'of another subject': await assert({ ...right(), sub: 'another' }),
    'for the token endpoint': await assert({ ...right(), aud: `${server.issuer}/token` }),
    'for several': await assert({ ...right(), aud: [server.issuer] }),
    expired: await assert({ ...right(), exp: now }),
    'of the future': await assert({ ...right(), nbf: now + 1 }),
    'good for too long': await assert({ ...right(), exp: now + 61 }),
    'without jti': await assert({ ...right(), jti: undefined }),
    'without exp': await assert({ ...right(), exp: undefined }),
    'of another key': await assert(right(), { key: another }),
    'of another secret': await assert(right(), { key: Buffer.alloc(32), alg: 'HS256' }),
    'signed by nobody': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(right())).toString('base64url')}.`,
    unreadable: 'no JWT'
  }
  for (const [title, assertion] of Object.entries(wrong)) t.match(await send(assertion), { status: 401, error: 'invalid_client' }, title)
  t.match(await send(await assert(right()), { client_assertion_type: 'another' }), { status: 400, error: 'invalid_request' })
  t.match(await send(await assert(right()), { client_id: 'another' }), { status: 400, error: 'invalid_request' })

  server.settings.assertionType = 'client-authentication+jwt'
  t.match(await send(await assert(right())), { status: 401 })
  t.match(await send(await assert(right(), { typ: 'client-authentication+jwt' })), { status: 200 })
  server.settings.clientAuthentication = ['private_key_jwt']
  t.match(await send(await assert(right(), { key: Buffer.from(server.settings.clientSecret), alg: 'HS256', typ: 'client-authentication+jwt' })), { status: 401 }, 'a method that is not registered')
})

test('R3 more than one method, or none where one is registered, is refused', async (t) => {
  const server = await start(t, { clientAuthentication: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'] })
  const authorization = 'Basic ' + Buffer.from('web:a+secret').toString('base64')
  const claims = { iss: 'web', sub: 'web', aud: server.issuer, exp: now + 60 }
  const secret = { client_id: 'web', client_secret: 'a secret' }
  const assertion = { client_assertion_type: type, client_assertion: await assert({ ...claims, jti: '1' }) }
  t.match(await post(server.issuer, secret, { authorization }), { status: 400, error: 'invalid_request' })
  t.match(await post(server.issuer, assertion, { authorization }), { status: 400, error: 'invalid_request' })
  t.match(await post(server.issuer, { ...secret, ...assertion }), { status: 400, error: 'invalid_request' })
  t.match(await post(server.issuer, { client_id: 'web' }), { status: 401, error: 'invalid_client' })
  server.settings.clientAuthentication = ['none']
  t.match(await post(server.issuer, { client_id: 'web' }), { status: 200 })
  t.match(await post(server.issuer, { client_id: 'another' }), { status: 401, error: 'invalid_client' })
  t.match(await post(server.issuer, {}), { status: 401, error: 'invalid_client' })
})

test('R28 a certificate is taken with its client_id, of a trusted authority and the registered subject, or as it is registered', async (t) => {
  const authority = await makeAuthority()
  const ca = authority.cert
  const own = await selfSigned('web')
  const server = await start(t, {
    clientAuthentication: ['tls_client_auth'],
    clientSubject: 'CN=web',
    clientJwks: { keys: [{ kty: 'EC', x5c: x5cOf(own) }] },
    tls: { ...await authority.issue('127.0.0.1'), ca }
  })
  const present = async (pair: Pair | undefined, body: Record<string, string> = { client_id: 'web' }) => {
    const dispatcher = new Agent({ connect: { ca, ...pair } })
    t.teardown(() => dispatcher.close())
    return await post(server.mtlsOrigin, body, { dispatcher })
  }
  const right = await authority.issue('web')
  t.match(await present(right), { status: 200 })
  for (const [title, pair] of Object.entries({
    none: undefined, 'another subject': await authority.issue('another'), expired: await authority.issue('web', longAgo), 'self-signed': own
  })) t.match(await present(pair), { status: 401, error: 'invalid_client' }, title)
  t.match(await present(right, {}), { status: 401 }, 'without client_id')
  t.match(await post(server.issuer, { client_id: 'web' }), { status: 401 }, 'without TLS')

  server.settings.clientAuthentication = ['self_signed_tls_client_auth']
  t.match(await present(own), { status: 200 })
  t.match(await present(right), { status: 401 })
  t.match(await present(await selfSigned('web')), { status: 401 }, 'one that is not registered')
})
