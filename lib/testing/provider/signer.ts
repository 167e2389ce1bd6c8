import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, type JWK, jwtVerify, SignJWT, type JWTPayload } from 'jose'

export interface Signer {
  /** The keys as they are published: the one in use first. */
  readonly jwks: { keys: JWK[] }
  sign (claims: JWTPayload, typ?: string): Promise<string>
  /** The claims of a token signed here, expired or not; `null` for any other. */
  read (token: string): Promise<JWTPayload | null>
  /** Signs with another key from now on. The old one is withdrawn, or published for a while; keys may have no names. */
  rotate (how?: { keepsOld?: boolean, isNamed?: boolean }): Promise<void>
}

export const signingAlgorithm = 'ES256'

export async function createSigner (): Promise<Signer> {
  let current = await createKey()
  const all = [current.jwk]
  const jwks = { keys: [current.jwk] }
  return {
    jwks,
    sign: (claims, typ = 'JWT') => new SignJWT(claims).setProtectedHeader({ alg: signingAlgorithm, typ, ...current.jwk.kid !== undefined && { kid: current.jwk.kid } }).sign(current.privateKey),
    async read (token) {
      for (const jwk of all) {
        const verified = await jwtVerify(token, createLocalJWKSet({ keys: [jwk] }), { currentDate: new Date(0) }).catch(() => undefined)
        if (verified !== undefined) return verified.payload
      }
      return null
    },
    async rotate ({ keepsOld = false, isNamed = true } = {}) {
      current = await createKey(isNamed)
      all.push(current.jwk)
      jwks.keys = [current.jwk, ...keepsOld ? jwks.keys : []]
    }
  }
}

async function createKey (isNamed = true) {
  const { publicKey, privateKey } = await generateKeyPair(signingAlgorithm)
  const jwk = await exportJWK(publicKey)
  return { privateKey, jwk: { ...jwk, ...isNamed && { kid: await calculateJwkThumbprint(jwk) }, alg: signingAlgorithm, use: 'sig' } }
}
