import { isExpired } from './lifetime.ts'
import type { TokenSet } from './token-set.ts'

/** A token to be revoked, and what it is (RFC 7009 §2.1). */
export interface Revocable {
  readonly token: string
  readonly hint: 'refresh_token' | 'access_token'
}

/** No logout makes more requests than this. */
const MOST = 10

/**
 * What of a session is to be revoked, in that order: the refresh token first, since most services take the access tokens
 * along, and then those that somebody could still use.
 */
export function revocableTokens ({ refreshToken, accessTokens }: TokenSet, now: number): Revocable[] {
  const access = accessTokens.filter((token) => !isExpired(token, now)).map(({ accessToken }) => ({ token: accessToken, hint: 'access_token' }) as const)
  return [...(refreshToken === undefined ? [] : [{ token: refreshToken, hint: 'refresh_token' } as const]), ...access].slice(0, MOST)
}
