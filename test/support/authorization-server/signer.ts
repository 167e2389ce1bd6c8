import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT, type JWTPayload } from 'jose'

export interface Signer {
  jwks: { keys: object[] }
  sign (claims: JWTPayload, typ?: string): Promise<string>
  /** The claims of a token signed here, expired or not; `null` for any other. */
  read (token: string): Promise<JWTPayload | null>
}

export const signingAlgorithm = 'ES256'

export async function createSigner (): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(signingAlgorithm)
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  const jwks = { keys: [{ ...jwk, kid, alg: signingAlgorithm, use: 'sig' }] }
  const keys = createLocalJWKSet(jwks)
  return {
    jwks,
    sign: (claims, typ = 'JWT') => new SignJWT(claims).setProtectedHeader({ alg: signingAlgorithm, typ, kid }).sign(privateKey),
    read: (token) => jwtVerify(token, keys, { currentDate: new Date(0) }).then(({ payload }) => payload, () => null)
  }
}
