import type { TokenClaims } from 'fastify'
import { readClaims } from './jwt.ts'
import { isRecord } from './record.ts'

/** Kept in any case: by these a logout at the provider finds its sessions (OpenID Connect Back-Channel Logout §2.4). */
const ALWAYS: readonly string[] = ['sid', 'iat']

/**
 * The claims that are kept beside the id_token, which may be too large for the cookie. A refreshed id_token that says less
 * takes none away (OpenID Connect Core §12.2), and `iat` stays that of the login: a refresh is none.
 */
export function keptClaims (idToken: string, wanted: readonly string[], before: Readonly<Record<string, unknown>> = {}): Record<string, unknown> | undefined {
  const claims = readClaims(idToken)
  if (claims === undefined) return undefined
  return { ...before, ...namedClaims(claims, [...ALWAYS, ...wanted]), ...(before.iat !== undefined && { iat: before.iat }) }
}

/** Those of the claims that are named. */
export function namedClaims (claims: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => Object.hasOwn(claims, name)).map((name) => [name, claims[name]]))
}

/** All that an id_token says: what `TokenClaims` knows, and more. */
export type IdTokenClaims = TokenClaims & Readonly<Record<string, unknown>>

/** What an id_token says; `undefined` where there is none. */
export function claimsOf (idToken: string | undefined): IdTokenClaims | undefined {
  const claims = idToken === undefined ? undefined : readClaims(idToken)
  return claims && isClaims(claims) ? claims : undefined
}

/** What types claims have is the provider's word, and the app's, where it augments the interface. */
export function isClaims (claims: object): claims is TokenClaims {
  return isRecord(claims)
}
