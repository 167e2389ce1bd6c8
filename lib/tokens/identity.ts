import { readClaims } from './jwt.ts'

const IDENTITY_CLAIMS = ['iss', 'sub', 'aud', 'azp', 'nonce'] as const

/** What no refresh may change, of the first id_token (OpenID Connect Core §12.2). */
export type Identity = Readonly<Partial<Record<typeof IDENTITY_CLAIMS[number], unknown>>>

/** Whose an id_token is; `undefined` for what is no JWT. */
export function identityOf (idToken: string): Identity | undefined {
  const claims = readClaims(idToken)
  return claims && Object.fromEntries(IDENTITY_CLAIMS.flatMap((claim) => claim in claims ? [[claim, claims[claim]]] : []))
}

/**
 * Whether a refreshed id_token, if there is one, is of the same issuer, subject, audience and authorized party, and of the
 * same nonce if it has one (OpenID Connect Core §12.2). What names no subject, or is no JWT, is of nobody else.
 */
export function isSameIdentity (before: Identity | undefined, refreshed: string | undefined): boolean {
  const after = refreshed === undefined ? undefined : readClaims(refreshed)
  if (before === undefined || after === undefined) return true
  return IDENTITY_CLAIMS.every((claim) => inOrder(before[claim]) === inOrder(after[claim]) || (claim !== 'azp' && after[claim] === undefined))
}

/** Audiences come in any order. */
function inOrder (claim: unknown): string {
  return [claim].flat().map(String).sort().join(' ')
}
