import { createPrivateKey, type JsonWebKey, KeyObject, subtle, type webcrypto } from 'node:crypto'
import { types } from 'node:util'
import { InvalidOptions } from '../errors.ts'
import { isRecord } from '../tokens/record.ts'

/** A private key in any of its forms; text and bytes are PEM. */
export type PrivateKey = webcrypto.CryptoKey | KeyObject | JsonWebKey | string | Buffer

/** A private key that can sign. */
export interface SigningKey {
  /** The algorithm by its name in a JWT. */
  readonly alg: string
  readonly kid: string | undefined
  /** As WebCrypto takes it. */
  readonly import: () => Promise<webcrypto.CryptoKey>
}

interface Algorithm {
  readonly alg: string
  /** The type or the curve of its keys, by OpenSSL's name. */
  readonly keys: string
  readonly name: string
  readonly hash?: string
  readonly namedCurve?: string
}

/** What client assertions are signed with (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2). The first that a key fits is its default. */
const ALGORITHMS: readonly Algorithm[] = [
  ...['256', '384', '512'].map((bits) => ({ alg: `RS${bits}`, keys: 'rsa', name: 'RSASSA-PKCS1-v1_5', hash: `SHA-${bits}` })),
  ...['256', '384', '512'].map((bits) => ({ alg: `PS${bits}`, keys: 'rsa', name: 'RSA-PSS', hash: `SHA-${bits}` })),
  { alg: 'ES256', keys: 'prime256v1', name: 'ECDSA', namedCurve: 'P-256' },
  { alg: 'ES384', keys: 'secp384r1', name: 'ECDSA', namedCurve: 'P-384' },
  { alg: 'ES512', keys: 'secp521r1', name: 'ECDSA', namedCurve: 'P-521' },
  { alg: 'EdDSA', keys: 'ed25519', name: 'Ed25519' },
  { alg: 'Ed25519', keys: 'ed25519', name: 'Ed25519' }
]

/** RFC 7518 §3.3 */
const MIN_RSA_BITS = 2048

/**
 * Reads a private key, and decides what it signs with: what is asked for, else what a JWK says of itself, else its default.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS for what is no private key, or none for that algorithm. Nothing of the key is in the message.
 */
export function signingKey (given: PrivateKey, kid: string | undefined, alg: string | undefined): SigningKey {
  const key = privateKeyOf(given)
  const own = isJwk(given) ? given : {}
  const { alg: chosen, keys, ...parameters } = chooseAlgorithm(key, given, alg ?? own.alg)
  return {
    alg: chosen,
    kid: kid ?? (typeof own.kid === 'string' ? own.kid : undefined),
    import: async () => types.isCryptoKey(given) ? given : await subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), parameters, false, ['sign'])
  }
}

function chooseAlgorithm ({ asymmetricKeyType, asymmetricKeyDetails: details = {} }: KeyObject, given: PrivateKey, wanted: unknown): Algorithm {
  const { modulusLength = Infinity, namedCurve = asymmetricKeyType } = details
  if (modulusLength < MIN_RSA_BITS) throw new InvalidOptions(`privateKeyJwt: an RSA key needs ${MIN_RSA_BITS} bits, and this one has ${modulusLength}. Make a larger one`)
  const fitting = ALGORITHMS.filter((algorithm) => algorithm.keys === namedCurve && (!types.isCryptoKey(given) || isMadeFor(given, algorithm)))
  const algorithm = fitting.find(({ alg }) => alg === wanted || wanted === undefined)
  if (algorithm !== undefined) return algorithm
  const can = fitting.map(({ alg }) => alg).join(', ') || `none. Make one for ${ALGORITHMS.map(({ alg }) => alg).join(', ')}`
  throw new InvalidOptions(`privateKeyJwt: alg must be one that the key (${namedCurve}) signs with: ${can}`)
}

function privateKeyOf (given: PrivateKey): KeyObject {
  const key = parse(given)
  if (key.type !== 'private' || (types.isCryptoKey(given) && !given.usages.includes('sign'))) throw noPrivateKey(`a ${key.type} key that cannot sign`)
  return key
}

function parse (given: PrivateKey): KeyObject {
  if (types.isKeyObject(given)) return given
  if (types.isCryptoKey(given)) return KeyObject.from(given)
  try {
    return createPrivateKey(isJwk(given) ? { key: given, format: 'jwk' } : given)
  } catch (error) {
    // The error of Node may hold a part of the key.
    throw noPrivateKey(error instanceof Error && 'code' in error ? String(error.code) : 'unreadable')
  }
}

function isJwk (given: PrivateKey): given is JsonWebKey {
  return typeof given !== 'string' && !Buffer.isBuffer(given) && !types.isKeyObject(given) && !types.isCryptoKey(given)
}

function noPrivateKey (reason: string): Error {
  return new InvalidOptions(`privateKeyJwt: key is no private key (${reason}). Give one as PEM without a passphrase, JWK, KeyObject or CryptoKey with the usage sign; for a secret there is clientSecretJwt`)
}

/** A CryptoKey is made for one algorithm. */
function isMadeFor ({ algorithm }: webcrypto.CryptoKey, { name, hash }: Algorithm): boolean {
  return algorithm.name === name && (!('hash' in algorithm) || (isRecord(algorithm.hash) && algorithm.hash.name === hash))
}
