import { randomBytes } from 'node:crypto'
import { generateDpopKey } from '../token-service/dpop.ts'
import type { TokenResponse } from '../tokens/from-response.ts'
import { readClaims } from '../tokens/jwt.ts'
import type { JsonWebKey } from '../tokens/token-set.ts'
import type { TestedProvider } from './entrance.ts'
import { createSigner } from './provider/signer.ts'

/** Who is logged in, and with which tokens. */
export interface TestLogin {
  /** What the id_token says; of that the app keeps what `session.claims` names. Default: `{ sub: 'alice' }`. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** What was granted, space-separated. Default: what the app's option `login.scope` asks for. */
  readonly scope?: string
  /** How long the access token is good for, in seconds; with 0 it has expired. Default: 3600. */
  readonly expiresIn?: number
  /**
   * What the token endpoint has answered: all that `provider.issue()` of `testProvider()` gives, so that the tokens can be
   * refreshed and revoked there, or `{ access_token }` alone. Default: an access token that is good for nothing, and no refresh token.
   */
  readonly tokens?: Partial<TokenResponse> & { readonly dpopKey?: JsonWebKey }
}

/**
 * What a provider would have answered at the end of this login. The signature of an id_token that is made here is nobody's.
 *
 * @throws Error where the tokens are of somebody else than the claims.
 */
export async function loginAnswer ({ claims, scope, expiresIn, tokens }: TestLogin, { issuer, clientId, clock, dpop, login }: TestedProvider): Promise<TokenResponse & { dpopKey?: JsonWebKey }> {
  const lifetime = expiresIn ?? (tokens?.access_token === undefined ? 3600 : undefined)
  const keepsIdToken = tokens !== undefined && claims === undefined
  const said = readClaims(tokens?.id_token ?? '')
  checkUser(claims, said)
  const iat = Math.floor(clock())
  return {
    access_token: randomBytes(32).toString('base64url'),
    token_type: dpop === undefined ? 'Bearer' : 'DPoP',
    ...login !== undefined && { scope: login.scope.join(' ') },
    ...dpop !== undefined && { dpopKey: tokens?.dpopKey ?? await generateDpopKey(dpop.alg) },
    ...tokens,
    ...scope !== undefined && { scope },
    ...lifetime !== undefined && { expires_in: lifetime },
    ...!keepsIdToken && { id_token: await signed({ iss: issuer, aud: clientId, sub: 'alice', iat, exp: iat + 3600, ...said, ...claims }) }
  }
}

async function signed (claims: Record<string, unknown>): Promise<string> {
  const signer = await createSigner()
  return await signer.sign(claims)
}

/** An id_token of another user ends a session (OpenID Connect Core §12.2), and the next refresh brings one. */
function checkUser ({ sub: asked }: Readonly<Record<string, unknown>> = {}, { sub = asked }: Readonly<Record<string, unknown>> = {}): void {
  if (asked === undefined || asked === sub) return
  throw new Error(`The tokens are of ${String(sub)}, and claims.sub is ${String(asked)}: the first refresh would end such a session. Ask for tokens of the same user: provider.issue({ sub })`)
}
