import { createPrivateKey, generateKeyPairSync, type JsonWebKey, KeyObject, randomBytes, subtle } from 'node:crypto'
import { inspect } from 'node:util'
import { type JWK } from 'jose'
import { test, type Test } from 'tap'
import { tokenServiceBench } from '../support/token-service-bench.ts'
import { type PrivateKey, privateKeyJwt, type PrivateKeyJwtOptions } from '../../lib/index.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' })
const ed25519 = generateKeyPairSync('ed25519')

const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8') => key.export({ type, format: 'pem' }).toString()
const jwk = (key: KeyObject, more: JWK = {}): JsonWebKey => ({ ...key.export({ format: 'jwk' }), ...more })
const cryptoKey = async (key: KeyObject, algorithm: Parameters<typeof subtle.importKey>[2], extractable = false) =>
  await subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), algorithm, extractable, ['sign'])

/** The header of the assertion that the strict server has accepted. */
async function accepted (t: Test, publicKey: KeyObject, kid: string | undefined, options: PrivateKeyJwtOptions): Promise<Record<string, unknown> | undefined> {
  const { server, session, refresh } = await tokenServiceBench(t, {
    clientAuthentication: privateKeyJwt(options),
    server: { clientAuthentication: ['private_key_jwt'], clientJwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), ...kid !== undefined && { kid } }] } }
  })
  await refresh(await session())
  return server.requestsTo('token')[0]?.assertion?.header
}

test('a private key is a KeyObject, a CryptoKey, a JWK or PEM of any kind, and signs what fits it', async (t) => {
  const keys: Array<[string, { publicKey: KeyObject }, PrivateKeyJwtOptions, { alg: string, kid?: string }]> = [
    ['a KeyObject of RSA', rsa, { key: rsa.privateKey }, { alg: 'RS256' }],
    ['of P-256', p256, { key: p256.privateKey }, { alg: 'ES256' }],
    ['of P-384', p384, { key: p384.privateKey }, { alg: 'ES384' }],
    ['of P-521', p521, { key: p521.privateKey }, { alg: 'ES512' }],
    ['of Ed25519', ed25519, { key: ed25519.privateKey }, { alg: 'EdDSA' }],
    ['by its newer name', ed25519, { key: ed25519.privateKey, alg: 'Ed25519' }, { alg: 'Ed25519' }],
    ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((alg): [string, { publicKey: KeyObject }, PrivateKeyJwtOptions, { alg: string, kid?: string }] =>
      [`RSA with ${alg}`, rsa, { key: pem(rsa.privateKey), alg }, { alg }]),
    ['PKCS #1', rsa, { key: pem(rsa.privateKey, 'pkcs1') }, { alg: 'RS256' }],
    ['SEC 1', p256, { key: pem(p256.privateKey, 'sec1') }, { alg: 'ES256' }],
    ['bytes', p256, { key: Buffer.from(pem(p256.privateKey)) }, { alg: 'ES256' }],
    ['a kid', p256, { key: pem(p256.privateKey), kid: 'web-1' }, { alg: 'ES256', kid: 'web-1' }],
    ['a JWK', p256, { key: jwk(p256.privateKey) }, { alg: 'ES256' }],
    ['a JWK with alg and kid', rsa, { key: jwk(rsa.privateKey, { alg: 'PS384', kid: 'web-2' }) }, { alg: 'PS384', kid: 'web-2' }],
    ['a JWK, and options that know better', rsa, { key: jwk(rsa.privateKey, { alg: 'PS384', kid: 'web-2' }), alg: 'PS256', kid: 'web-3' }, { alg: 'PS256', kid: 'web-3' }],
    ['a JWK of Ed25519', ed25519, { key: jwk(ed25519.privateKey, { alg: 'EdDSA' }) }, { alg: 'EdDSA' }],
    ['a CryptoKey of RSA-PSS', rsa, { key: await cryptoKey(rsa.privateKey, { name: 'RSA-PSS', hash: 'SHA-512' }) }, { alg: 'PS512' }],
    ['a CryptoKey of PKCS #1 v1.5', rsa, { key: await cryptoKey(rsa.privateKey, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384' }, true), alg: 'RS384' }, { alg: 'RS384' }],
    ['a CryptoKey of P-384', p384, { key: await cryptoKey(p384.privateKey, { name: 'ECDSA', namedCurve: 'P-384' }) }, { alg: 'ES384' }],
    ['a CryptoKey of Ed25519', ed25519, { key: await cryptoKey(ed25519.privateKey, { name: 'Ed25519' }) }, { alg: 'EdDSA' }]
  ]
  for (const [title, { publicKey }, options, header] of keys) t.strictSame(await accepted(t, publicKey, header.kid, options), header, title)
})

test('what is no private key, or none for its alg, fails the boot with what to do and nothing of the key', async (t) => {
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
  const secret = randomBytes(32).toString('base64url')
  const encrypted = p256.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString()
  const verifying = await subtle.importKey('spki', p256.publicKey.export({ type: 'spki', format: 'der' }), { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify'])
  const deriving = await subtle.importKey('pkcs8', p256.privateKey.export({ type: 'pkcs8', format: 'der' }), { name: 'ECDH', namedCurve: 'P-256' }, true, ['deriveBits'])
  const hmac = await subtle.importKey('raw', Buffer.from(secret), { name: 'HMAC', hash: 'SHA-256' }, true, ['sign'])
  const noKey = /privateKeyJwt: key is no private key \(.+\)\. Give one as PEM without a passphrase, JWK, KeyObject or CryptoKey with the usage sign; for a secret there is clientSecretJwt$/
  const unfit = (key: string, can: string) => new RegExp(`privateKeyJwt: alg must be one that the key \\(${key}\\) signs with: ${can}`)
  const wrong: Array<[string, PrivateKey, string | undefined, RegExp]> = [
    ['no PEM', secret, undefined, noKey],
    ['an empty text', '', undefined, noKey],
    ['a public PEM', p256.publicKey.export({ type: 'spki', format: 'pem' }).toString(), undefined, noKey],
    ['an encrypted PEM', encrypted, undefined, noKey],
    ['a symmetric JWK', { kty: 'oct', k: secret }, undefined, noKey],
    ['a public JWK', jwk(p256.publicKey), undefined, noKey],
    ['a broken JWK', { ...jwk(p256.privateKey), crv: 'P-384' }, undefined, noKey],
    ['a JWK that is none', { key: secret }, undefined, noKey],
    ['a public KeyObject', p256.publicKey, undefined, noKey],
    ['a secret KeyObject', KeyObject.from(hmac), undefined, noKey],
    ['a public CryptoKey', verifying, undefined, noKey],
    ['a CryptoKey that does not sign', deriving, undefined, noKey],
    ['a secret CryptoKey', hmac, undefined, noKey],
    ['an RSA key too small', small, undefined, /privateKeyJwt: an RSA key needs 2048 bits, and this one has 1024. Make a larger one/],
    ['an alg of another key', pem(rsa.privateKey), 'ES256', unfit('rsa', 'RS256, RS384, RS512, PS256, PS384, PS512')],
    ['an alg of another curve', pem(p384.privateKey), 'ES256', unfit('secp384r1', 'ES384')],
    ['an alg that nobody knows', pem(p256.privateKey), 'none', unfit('prime256v1', 'ES256')],
    ['a JWK for encryption', jwk(rsa.privateKey, { alg: 'RSA-OAEP' }), undefined, unfit('rsa', 'RS256')],
    ['another alg than the CryptoKey is made for', await cryptoKey(rsa.privateKey, { name: 'RSA-PSS', hash: 'SHA-256' }), 'RS256', unfit('rsa', 'PS256$')],
    ['a curve that no alg has', pem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey), undefined, unfit('secp256k1', 'none. Make one for RS256,')],
    ['a key that agrees on keys', pem(generateKeyPairSync('x25519').privateKey), undefined, unfit('x25519', 'none. Make one for RS256,')]
  ]
  const secrets = [secret, 'PRIVATE KEY', ...[p256, p384, rsa].flatMap(({ privateKey }) => [String(jwk(privateKey).d), ...pem(privateKey).split('\n').slice(1, -2)])]
  for (const [title, key, alg, says] of wrong) {
    const error = problemOf({ key, ...alg && { alg } })
    t.match(error, { code: 'FST_TOKEN_INVALID_OPTIONS', message: says }, title)
    const text = inspect(error, { depth: Infinity, showHidden: true })
    t.notOk(secrets.some((one) => text.includes(one)), `${title} is not told`)
  }
  for (const nothing of [undefined, null, 5]) t.match(problemOf(JSON.parse(JSON.stringify({ key: nothing }))), { code: 'FST_TOKEN_INVALID_OPTIONS', message: noKey })
})

function problemOf (options: PrivateKeyJwtOptions): unknown {
  try {
    return privateKeyJwt(options)
  } catch (error) {
    return error
  }
}

test('the key does not show where the options are printed', async (t) => {
  const text = inspect({ clientAuthentication: privateKeyJwt({ key: pem(p256.privateKey), kid: 'web-1' }) }, { depth: Infinity, showHidden: true })
  t.notMatch(text, /PRIVATE KEY/)
})

test('a key that is exchanged is used from the next request on, in whatever form it comes', async (t) => {
  const next = generateKeyPairSync('ed25519')
  let current: PrivateKeyJwtOptions = { key: createPrivateKey(pem(p256.privateKey)), kid: 'old' }
  const { server, session, refresh } = await tokenServiceBench(t, {
    clientAuthentication: privateKeyJwt(() => current),
    server: { clientAuthentication: ['private_key_jwt'], clientJwks: { keys: [{ ...p256.publicKey.export({ format: 'jwk' }), kid: 'old' }, { ...next.publicKey.export({ format: 'jwk' }), kid: 'new' }] } }
  })
  let tokens = { ...await session() }
  const refreshed = async () => {
    const { refreshToken = '', ...rest } = await refresh(tokens)
    tokens = { ...rest, refreshToken }
  }
  await refreshed()
  await refreshed()
  current = { key: pem(next.privateKey), kid: 'new' }
  await refreshed()
  t.match(server.requestsTo('token').map(({ assertion }) => assertion?.header), [{ kid: 'old', alg: 'ES256' }, { kid: 'old' }, { kid: 'new', alg: 'EdDSA' }])
})
