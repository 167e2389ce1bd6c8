import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { generateKeyPair, exportJWK, importJWK, SignJWT, type JWK, type JWTHeaderParameters, type JWTPayload } from 'jose'
import { test, type Test } from 'tap'
import { startAuthorizationServer, type AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { sessionKey } from '../../lib/testing/provider/session-key.ts'
import type { Settings } from '../support/authorization-server/settings.ts'

const redirectUri = 'http://127.0.0.1:3000/auth/callback'
const verifier = randomBytes(32).toString('base64url')
const authorizationRequest = {
  response_type: 'code',
  client_id: 'web',
  redirect_uri: redirectUri,
  scope: 'openid orders',
  code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  code_challenge_method: 'S256'
}

async function start (t: Test, settings?: Partial<Settings>): Promise<AuthorizationServer> {
  const server = await startAuthorizationServer({ dpop: true, dpopNonce: null, ...settings })
  t.teardown(() => server.close())
  return server
}

interface Wrong { claims?: JWTPayload, header?: Partial<JWTHeaderParameters> }

/** A proof for the token endpoint that is right, but for what is given. */
async function proofOf (server: AuthorizationServer, key: JWK, { claims, header }: Wrong = {}): Promise<string> {
  const { d, ...jwk } = key
  return await new SignJWT({ htm: 'POST', htu: `${server.issuer}/token`, iat: Math.floor(server.clock()), jti: randomUUID(), ...claims })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk, ...header }).sign(await importJWK(key, 'ES256'))
}

async function post (server: AuthorizationServer, path: string, body: Record<string, string>, dpop?: string) {
  const headers = { authorization: 'Basic ' + Buffer.from('web:a+secret').toString('base64'), ...dpop && { dpop } }
  const response = await fetch(server.issuer + path, { method: 'POST', headers, body: new URLSearchParams(body) })
  const json: Record<string, unknown> = Object(await response.json())
  return { status: response.status, json, nonce: response.headers.get('dpop-nonce') }
}

const refresh = (server: AuthorizationServer, token: unknown, dpop?: string) => post(server, '/token', { grant_type: 'refresh_token', refresh_token: String(token) }, dpop)

const wrong: Array<[what: string, wrong: (key: JWK) => Wrong | Promise<Wrong>]> = [
  ['another typ', () => ({ header: { typ: 'JWT' } })],
  ['no typ', () => ({ header: { typ: undefined } })],
  ['the private key in it', (key) => ({ header: { jwk: key } })],
  ['no key in it', () => ({ header: { jwk: undefined } })],
  ['another key than it is signed with', async () => ({ header: { jwk: await exportJWK((await generateKeyPair('ES256')).publicKey) } })],
  ['another htm', () => ({ claims: { htm: 'GET' } })],
  ['no htm', () => ({ claims: { htm: undefined } })],
  ['htu of another address', () => ({ claims: { htu: 'https://elsewhere.example/token' } })],
  ['no iat', () => ({ claims: { iat: undefined } })],
  ['an iat two minutes ago', () => ({ claims: { iat: Math.floor(Date.now() / 1000) - 120 } })],
  ['an iat in two minutes', () => ({ claims: { iat: Math.floor(Date.now() / 1000) + 120 } })],
  ['no jti', () => ({ claims: { jti: undefined } })],
  ['ath where no access token is', () => ({ claims: { ath: 'x' } })]
]

test('R31 R32 a proof that is wrong in one thing is refused, and nothing is spent', async (t) => {
  const server = await start(t)
  const { refresh_token: token } = await server.issue()
  const { key } = await sessionKey()
  const good = await proofOf(server, key)
  const symmetric: JWK = { kty: 'oct', k: 'AAAA' }
  const secret = await new SignJWT({ htm: 'POST', htu: `${server.issuer}/token`, jti: 'x' }).setProtectedHeader({ typ: 'dpop+jwt', alg: 'HS256', jwk: symmetric }).setIssuedAt().sign(randomBytes(32))
  const proofs: Array<[string, string | undefined]> = [
    ['none', undefined], ['no JWT', 'x'], ['two', `${good}, ${good}`], ['signed with a secret', secret], ['a changed signature', good.slice(0, -8) + 'AAAAAAAA'],
    ['htu with a query', await proofOf(server, key, { claims: { htu: `${server.issuer}/token?a=b` } })]
  ]
  for (const [what, change] of wrong) proofs.push([what, await proofOf(server, key, await change(key))])
  for (const [what, proof] of proofs) {
    t.match(await refresh(server, token, proof), { status: 400, json: { error: 'invalid_dpop_proof' } }, what)
  }
  t.match(await refresh(server, token, good), { status: 200, json: { token_type: 'DPoP' } })
  t.match(await refresh(server, server.families[0]?.newestRefreshToken, good), { status: 400, json: { error: 'invalid_dpop_proof', error_description: /jti/ } }, 'a second time')
})

test('R36 a nonce is wanted before anything is looked at, and comes with every answer', async (t) => {
  const server = await start(t, { dpopNonce: 'newest' })
  const { refresh_token: token } = await server.issue()
  const { key } = await sessionKey()
  const first = await refresh(server, token, await proofOf(server, key))
  t.match(first, { status: 400, json: { error: 'use_dpop_nonce' }, nonce: String })
  const second = await refresh(server, token, await proofOf(server, key, { claims: { nonce: String(first.nonce), iat: 1 } }))
  t.match(second, { status: 200, nonce: String }, 'the nonce tells when it was made')
  t.match(await refresh(server, second.json.refresh_token, await proofOf(server, key, { claims: { nonce: String(first.nonce) } })), { json: { error: 'use_dpop_nonce' } }, 'only the newest')

  server.settings.dpopNonce = 'issued'
  const nonce = server.nextNonce()
  server.nextNonce()
  t.match(await refresh(server, second.json.refresh_token, await proofOf(server, key, { claims: { nonce } })), { status: 200 })
  server.expireNonces()
  t.match(await refresh(server, token, await proofOf(server, key, { claims: { nonce } })), { json: { error: 'use_dpop_nonce' } })
})

test('access tokens are bound to the key of the proof, and an API takes them only with one for them', async (t) => {
  const server = await start(t)
  const { access_token: token, dpopKey = {} } = await server.issue()
  const call = async (scheme: string, key?: JWK, claims?: JWTPayload) => {
    const ath = createHash('sha256').update(token).digest('base64url')
    const dpop = key && await proofOf(server, key, { claims: { htm: 'GET', htu: `${server.issuer}/userinfo`, ath, ...claims } })
    const { status, headers } = await fetch(`${server.issuer}/userinfo`, { headers: { authorization: `${scheme} ${token}`, ...dpop && { dpop } } })
    return [status, headers.get('www-authenticate')]
  }
  t.strictSame(await call('DPoP', dpopKey), [200, null])
  t.strictSame(await call('Bearer'), [401, 'DPoP error="invalid_token"'], 'never as Bearer')
  t.strictSame(await call('Bearer', dpopKey), [401, 'DPoP error="invalid_token"'])
  t.strictSame(await call('DPoP'), [401, 'DPoP error="invalid_token"'])
  t.strictSame(await call('DPoP', (await sessionKey()).key), [401, 'DPoP error="invalid_token"'], 'another key')
  t.strictSame(await call('DPoP', dpopKey, { ath: 'x' }), [401, 'DPoP error="invalid_dpop_proof"'])
  t.strictSame(await call('DPoP', dpopKey, { ath: undefined }), [401, 'DPoP error="invalid_dpop_proof"'])

  server.settings.accessTokenFormat = 'jwt'
  const { json } = await refresh(server, server.families[0]?.newestRefreshToken, await proofOf(server, dpopKey))
  t.match(JSON.parse(Buffer.from(String(json.access_token).split('.')[1] ?? '', 'base64url').toString()), { cnf: { jkt: /^[\w-]{43}$/ } })
})

test('refresh tokens of public clients are bound too, those of others are not', async (t) => {
  for (const [clientAuthentication, status] of [[['none'], 400], [['client_secret_basic'], 200]] as const) {
    const server = await start(t, { clientAuthentication: [...clientAuthentication] })
    const { refresh_token: token } = await server.issue()
    const { key } = await sessionKey()
    const headers = { dpop: await proofOf(server, key), ...status === 200 && { authorization: 'Basic ' + Buffer.from('web:a+secret').toString('base64') } }
    const answer = await fetch(`${server.issuer}/token`, { method: 'POST', headers, body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, client_id: 'web' }) })
    t.equal(answer.status, status)
  }
})

test('RFC 9449 §10 a code with dpop_jkt is redeemed with that key only', async (t) => {
  const server = await start(t)
  const { key, jkt } = await sessionKey()
  const redeem = async (dpop: string) => {
    const { headers } = await fetch(`${server.issuer}/authorize?${new URLSearchParams({ ...authorizationRequest, dpop_jkt: jkt })}`, { redirect: 'manual' })
    const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
    return await post(server, '/token', { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier }, dpop)
  }
  t.match(await redeem(await proofOf(server, (await sessionKey()).key)), { status: 400, json: { error: 'invalid_grant' } })
  t.match(await redeem(await proofOf(server, key)), { status: 200 })
})

test('RFC 9126 a pushed request is checked at once, and its request_uri is good once, alone and for a minute', async (t) => {
  const server = await start(t, { requirePushedRequests: true })
  const authorize = async (query: Record<string, string>) => await fetch(`${server.issuer}/authorize?${new URLSearchParams(query)}`, { redirect: 'manual' })
  const push = async () => String((await post(server, '/par', authorizationRequest)).json.request_uri)
  t.equal((await authorize(authorizationRequest)).status, 400, 'a plain request')
  const changes: Record<string, Record<string, string>> = {
    'an unknown redirect_uri': { redirect_uri: 'https://elsewhere.example/' }, 'no challenge': { code_challenge: '' }, 'a request_uri': { request_uri: 'urn:x' }
  }
  for (const [what, change] of Object.entries(changes)) t.match(await post(server, '/par', { ...authorizationRequest, ...change }), { status: 400, json: { error: 'invalid_request' } }, what)
  t.equal((await fetch(`${server.issuer}/par`, { method: 'POST', body: new URLSearchParams(authorizationRequest) })).status, 401, 'without authentication')

  const uri = await push()
  t.equal((await authorize({ client_id: 'web', request_uri: uri, scope: 'more' })).status, 400, 'with something else')
  t.equal((await authorize({ client_id: 'other', request_uri: uri })).status, 400, 'of another client')
  t.equal((await authorize({ client_id: 'web', request_uri: uri })).status, 303)
  t.equal((await authorize({ client_id: 'web', request_uri: uri })).status, 400, 'a second time')
  const late = await push()
  server.advance(61)
  t.equal((await authorize({ client_id: 'web', request_uri: late })).status, 400, 'too late')
})

test('RFC 9449 §10.1 a proof with a pushed request binds the code, and must be of the key of dpop_jkt', async (t) => {
  const server = await start(t)
  const { key, jkt } = await sessionKey()
  const htu = `${server.issuer}/par`
  const { jkt: other } = await sessionKey()
  t.match(await post(server, '/par', { ...authorizationRequest, dpop_jkt: other }, await proofOf(server, key, { claims: { htu } })), { status: 400, json: { error: 'invalid_dpop_proof' } })
  const { json } = await post(server, '/par', authorizationRequest, await proofOf(server, key, { claims: { htu } }))
  const { headers } = await fetch(`${server.issuer}/authorize?${new URLSearchParams({ client_id: 'web', request_uri: String(json.request_uri) })}`, { redirect: 'manual' })
  const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
  const body = { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier }
  t.match(await post(server, '/token', body, await proofOf(server, (await sessionKey()).key)), { json: { error: 'invalid_grant' } })
  t.strictSame(server.requestsTo('pushedAuthorization').at(-1)?.proof?.jkt, jkt)
})
