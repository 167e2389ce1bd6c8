import type { AccessToken } from './token-set.ts'

/** Seconds that two readings of a clock may differ before it counts as moved. */
const CLOCK_TOLERANCE = 60

/** Whether the token can no longer be used, or is not there any more. */
export function isExpired ({ accessToken, expiresAt = Infinity }: AccessToken, now: number): boolean {
  return accessToken === '' || expiresAt <= now
}

/**
 * Whether it is time for a new token. A token that seems to come from the future was issued before the clock was set back,
 * and its expiry means nothing any more.
 */
export function needsRefresh (token: AccessToken, now: number, refreshBeforeExpiration: number): boolean {
  return token.accessToken === '' || now >= refreshAt(token, refreshBeforeExpiration) || (token.expiresAt !== undefined && now < token.issuedAt - CLOCK_TOLERANCE)
}

/**
 * Seconds since the epoch from which on a token is to be refreshed: the begin of the window before its expiry. The window
 * is never more than half of the lifetime, so that a short-lived token is not refreshed on every request.
 */
export function refreshAt ({ issuedAt, expiresAt = Infinity }: AccessToken, refreshBeforeExpiration: number): number {
  return expiresAt - Math.min(refreshBeforeExpiration, (expiresAt - issuedAt) / 2)
}
