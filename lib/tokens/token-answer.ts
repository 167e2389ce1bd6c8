import { isRecord } from './record.ts'

/** The members of a token response (RFC 6749 §5.1), brought into the one form that the rest of the code knows. */
export interface TokenAnswer {
  readonly access_token?: unknown
  readonly token_type?: unknown
  readonly expires_in?: number
  readonly scope?: string
  readonly refresh_token?: string
  readonly id_token?: string
}

/** A member of an answer that is of no use, and is left out. */
export interface Dropped {
  readonly member: string
  readonly problem: string
}

/**
 * Mends what services say in other words than the standard: members that are `null` or empty are none, a list of scopes is
 * a scope, a lifetime may be text. What makes no sense at all is left out, since it says nothing against the tokens.
 */
export function readTokenAnswer (answer: unknown): { answer: TokenAnswer, dropped: Dropped[] } {
  const filled: Record<string, unknown> = Object.fromEntries(Object.entries(isRecord(answer) ? answer : {}).filter(([, value]) => value !== null && value !== undefined && value !== ''))
  const { expires_in: expiresIn, scope, refresh_token: refreshToken, id_token: idToken, ...others } = filled
  const read = {
    expires_in: lifetimeOf(expiresIn),
    scope: scopeOf(scope),
    refresh_token: textOf(refreshToken),
    id_token: textOf(idToken)
  }
  const dropped = Object.entries(read).flatMap(([member, value]) => value === undefined && filled[member] !== undefined ? [{ member, problem: `it is ${kindOf(filled[member])}` }] : [])
  return { answer: { ...others, ...withoutUndefined(read) }, dropped }
}

/**
 * What is wrong with the characters of tokens: an access token goes into a header (RFC 6750 §2.1), and a refresh token is
 * printable (RFC 6749 §A.17). The token itself is not told.
 */
export function tokenProblem ({ access_token: accessToken, refresh_token: refreshToken }: TokenAnswer): string | undefined {
  if (typeof accessToken === 'string' && !/^[\x21-\x7E]+$/.test(accessToken)) return 'its access_token holds characters that no header can carry'
  return refreshToken === undefined || isRefreshToken(refreshToken) ? undefined : 'its refresh_token holds characters that are not printable (RFC 6749 §A.17)'
}

export function isRefreshToken (refreshToken: string): boolean {
  return /^[\x20-\x7E]+$/.test(refreshToken)
}

function lifetimeOf (expiresIn: unknown): number | undefined {
  const seconds = typeof expiresIn === 'string' && !/^\s*0x/i.test(expiresIn) ? Number.parseFloat(expiresIn) : expiresIn
  return typeof seconds === 'number' && Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}

function scopeOf (scope: unknown): string | undefined {
  const scopes = [scope].flat()
  return scopes.every((one) => typeof one === 'string') ? scopes.join(' ') || undefined : undefined
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function kindOf (value: unknown): string {
  if (isRecord(value)) return 'an object'
  return Array.isArray(value) ? 'a list' : typeof value === 'string' ? 'no number' : `a ${typeof value}`
}

function withoutUndefined (read: { [Member in keyof TokenAnswer]: TokenAnswer[Member] | undefined }): TokenAnswer {
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined))
}
