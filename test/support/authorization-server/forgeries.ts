import { generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import type { Signer } from '../../../lib/testing/provider/signer.ts'
import { signingAlgorithm } from '../../../lib/testing/provider/signer.ts'

/** Signs claims in another way than the provider does. */
export type Forgery = (claims: JWTPayload, signer: Signer, typ?: string) => string | Promise<string>

/** Tokens that say the same, and are not the provider's. */
export const forgeries = {
  /** By somebody else's key, under the name of the provider's. */
  byAnotherKey: async (claims, signer, typ = 'JWT') => {
    const { privateKey } = await generateKeyPair(signingAlgorithm)
    return await new SignJWT(claims).setProtectedHeader({ alg: signingAlgorithm, typ, kid: String(signer.jwks.keys[0]?.kid) }).sign(privateKey)
  },
  /** By a key that is published nowhere. */
  byUnknownKey: async (claims, _signer, typ = 'JWT') => {
    const { privateKey } = await generateKeyPair(signingAlgorithm)
    return await new SignJWT(claims).setProtectedHeader({ alg: signingAlgorithm, typ, kid: 'unknown' }).sign(privateKey)
  },
  /** `alg: none` (RFC 7519 §6) */
  unsigned: (claims) => new UnsecuredJWT(claims).encode(),
  /** What everybody knows, taken for a secret (RFC 8725 §2.1). */
  byPublicKey: async (claims, signer, typ = 'JWT') => {
    const key = new TextEncoder().encode(JSON.stringify(signer.jwks.keys[0]))
    return await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ, kid: String(signer.jwks.keys[0]?.kid) }).sign(key)
  }
} satisfies Record<string, Forgery>

/** By the secret of the client (OpenID Connect Core §10.1). */
export function bySecret (secret: string): Forgery {
  return async (claims, _signer, typ = 'JWT') => await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ }).sign(new TextEncoder().encode(secret))
}
