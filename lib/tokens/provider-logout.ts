import type { SessionQuery } from './session-query.ts'
import type { TokenSet } from './token-set.ts'

/** Whose a session is, as far as its id_tokens say. */
export interface SessionOwner {
  readonly sub?: string
  /** The session at the provider (OpenID Connect Back-Channel Logout §2.1). */
  readonly sid?: string
  /** The `iat` of the login's id_token: seconds since the epoch, by the clock of the provider. */
  readonly issuedAt?: number
}

/** Whom the provider has logged out, and when by its own clock. */
export interface ProviderLogout extends SessionOwner {
  readonly issuedAt: number
}

export function ownerOf ({ identity = {}, claims = {} }: TokenSet): SessionOwner {
  const { sub = claims.sub } = identity
  const { sid, iat } = claims
  return {
    ...(typeof sub === 'string' && { sub }),
    ...(typeof sid === 'string' && { sid }),
    ...(typeof iat === 'number' && { issuedAt: iat })
  }
}

/** By what the sessions are found that a logout may mean. */
export function queriesOf ({ sub, sid }: ProviderLogout): SessionQuery[] {
  return [...(sid === undefined ? [] : [{ sid }]), ...(sub === undefined ? [] : [{ sub }])]
}

/**
 * Whether a session is one that a logout means (OpenID Connect Back-Channel Logout §2.7). One that does not know its own `sid`
 * is meant like all of its user; who has logged in after the logout is not.
 */
export function isMeant ({ sub, sid, issuedAt = -Infinity }: SessionOwner, logout: ProviderLogout): boolean {
  if (issuedAt > logout.issuedAt || (logout.sub !== undefined && sub !== logout.sub)) return false
  return logout.sid === undefined || sid === logout.sid || (sid === undefined && logout.sub !== undefined)
}
