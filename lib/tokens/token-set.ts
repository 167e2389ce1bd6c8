import { randomUUID, type webcrypto } from 'node:crypto'
import type { TokenWish } from './token-wish.ts'

/** One access token, and what it is for. Times are seconds since the epoch. */
export interface AccessToken {
  readonly accessToken: string
  readonly tokenType: 'Bearer' | 'DPoP'
  /** When the request for it was sent (R9: the lifetime is counted from there). */
  readonly issuedAt: number
  /** The generation of the token set that it came with: tells a renewed token from one that was carried along. */
  readonly generation: number
  /** Missing where neither the answer nor the token says: valid until an API refuses it. */
  readonly expiresAt?: number
  /** What was granted, space-separated. */
  readonly scope?: string
  /** What was asked for when it was not the login's own scope: the service may have granted less. */
  readonly requestedScope?: string
  /** The resource indicator it was asked for with (RFC 8707). */
  readonly resource?: string
}

/** A key as JSON (RFC 7517). */
export type JsonWebKey = webcrypto.JsonWebKey

/** What a session holds. Never changed in place: every refresh makes a new one. */
export interface TokenSet {
  /** Random, made at login, kept by every refresh. */
  readonly sessionId: string
  /** 0 at login, one more at every refresh. */
  readonly generation: number
  /** Seconds since the epoch; `session.absoluteDuration` counts from here. */
  readonly startedAt: number
  /** One per resource and scope asked for; the first is the login's own. */
  readonly accessTokens: readonly AccessToken[]
  readonly refreshToken?: string
  readonly idToken?: string
  /** The private key that the tokens are bound to (RFC 9449): the session's own, kept by every refresh. */
  readonly dpopKey?: JsonWebKey
  /** Whose session this is: a refreshed id_token must say the same, also where the first one was too large to keep. */
  readonly identity?: Identity
}

/** What no refresh may change, of the first id_token (OpenID Connect Core §12.2). */
export type Identity = Readonly<Partial<Record<typeof IDENTITY_CLAIMS[number], unknown>>>

/** A successful answer of a token endpoint (RFC 6749 §5.1). Unknown members are ignored. */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: string
  readonly expires_in?: number | string
  readonly refresh_token?: string
  readonly scope?: string
  readonly id_token?: string
}

/** What a token response does not say by itself. */
export interface Reading {
  /** Seconds since the epoch when the request was sent. */
  readonly issuedAt: number
  /** Seconds, for answers without `expires_in` whose token has no `exp`. */
  readonly defaultExpiresIn?: number
}

/** The token set of a fresh login. */
export function firstTokenSet (response: TokenResponse, reading: Reading & { requested?: TokenWish, dpopKey?: JsonWebKey | undefined }): TokenSet {
  const { requested = {}, dpopKey } = reading
  return {
    sessionId: randomUUID(),
    generation: 0,
    startedAt: Math.floor(reading.issuedAt),
    accessTokens: [readAccessToken(response, reading, requested)],
    ...(response.refresh_token && { refreshToken: response.refresh_token }),
    ...(dpopKey && { dpopKey }),
    ...readIdToken(response)
  }
}

/** The token set after a refresh: what the answer leaves out is kept (R10, R11, R47), but never an old expiry (R9). */
export function nextTokenSet (previous: TokenSet, response: TokenResponse, reading: Reading, wish: TokenWish): TokenSet {
  const replaced = findAccessToken(previous, wish)
  const generation = previous.generation + 1
  const fresh: AccessToken = {
    ...readAccessToken(response, reading, { scope: replaced?.scope, ...wish }),
    generation,
    ...(wish.scope && { requestedScope: wish.scope })
  }
  return {
    ...previous,
    generation,
    accessTokens: replaced
      ? previous.accessTokens.map((token) => token === replaced ? fresh : token)
      : [...previous.accessTokens, fresh],
    ...(response.refresh_token && { refreshToken: response.refresh_token }),
    ...readIdToken(response),
    ...(previous.identity && { identity: previous.identity })
  }
}

/** Whether a refreshed id_token, if there is one, is of the same issuer, subject, audience and authorized party, and of the same nonce if it has one (R46). */
export function isSameIdentity ({ identity: before }: TokenSet, refreshed: string | undefined): boolean {
  if (before === undefined || refreshed === undefined) return true
  const after = readClaims(refreshed) ?? {}
  return IDENTITY_CLAIMS.every((claim) => inOrder(before[claim]) === inOrder(after[claim]) || (claim === 'nonce' && after.nonce === undefined))
}

/** Audiences come in any order. */
function inOrder (claim: unknown): string {
  return [claim].flat().map(String).sort().join(' ')
}

/** The token set after an answer that cannot be used, but has spent the refresh token and brought a new one. */
export function salvagedTokenSet (previous: TokenSet, refreshToken: string): TokenSet {
  return { ...previous, generation: previous.generation + 1, refreshToken }
}

/** What a wish means in a session: without a resource it is for that of the login (RFC 8707 §2.2). */
export function completeWish ({ accessTokens: [login] }: TokenSet, { resource = login?.resource, scope }: TokenWish): TokenWish {
  return { ...(resource !== undefined && { resource }), ...(scope !== undefined && { scope }) }
}

/** The access token in the set that was asked for like this, expired or not; the first is the login's own. */
export function findAccessToken ({ accessTokens }: TokenSet, { resource, scope }: TokenWish): AccessToken | undefined {
  return accessTokens.find((token) => token.resource === resource && token.requestedScope === scope)
}

/** Whether the token can no longer be used. */
export function isExpired (token: AccessToken, now: number): boolean {
  return token.expiresAt !== undefined && token.expiresAt <= now
}

/**
 * Whether it is time for a new token. A token that seems to come from the future was issued before the clock was set back,
 * and its expiry means nothing any more.
 */
export function needsRefresh (token: AccessToken, now: number, refreshBeforeExpiration: number): boolean {
  return now >= refreshAt(token, refreshBeforeExpiration) || (token.expiresAt !== undefined && now < token.issuedAt - CLOCK_TOLERANCE)
}

/**
 * Seconds since the epoch from which on a token is to be refreshed: the begin of the window before its expiry. The window
 * is never more than half of the lifetime, so that a short-lived token is not refreshed on every request.
 */
export function refreshAt ({ issuedAt, expiresAt = Infinity }: AccessToken, refreshBeforeExpiration: number): number {
  return expiresAt - Math.min(refreshBeforeExpiration, (expiresAt - issuedAt) / 2)
}

const IDENTITY_CLAIMS = ['iss', 'sub', 'aud', 'azp', 'nonce'] as const

/** Seconds that two readings of a clock may differ before it counts as moved. */
const CLOCK_TOLERANCE = 60

/** The claims of a JWT, unverified: for a hint only. `undefined` for anything that is not one. */
export function readClaims (token: string): Record<string, unknown> | undefined {
  const [, payload, signature] = token.split('.')
  if (payload === undefined || signature === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return isRecord(claims) ? claims : undefined
  } catch {
    return undefined
  }
}

/** Whether this is a plain object, as JSON's top level usually is. */
export function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readIdToken ({ id_token: idToken }: TokenResponse): Pick<TokenSet, 'idToken' | 'identity'> {
  if (!idToken) return {}
  const claims = readClaims(idToken)
  return { idToken, ...(claims && { identity: Object.fromEntries(IDENTITY_CLAIMS.flatMap((claim) => claim in claims ? [[claim, claims[claim]]] : [])) }) }
}

/** The access token of an answer, and what it was asked for with: that is what it is for, where the answer does not say (R11). */
export function readAccessToken (response: TokenResponse, { issuedAt, defaultExpiresIn }: Reading, { resource, scope }: TokenWish): AccessToken {
  const grantedScope = response.scope ?? scope
  const expiresAt = readExpiry(response, issuedAt, defaultExpiresIn)
  return {
    accessToken: response.access_token,
    tokenType: response.token_type.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer',
    issuedAt,
    generation: 0,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(grantedScope && { scope: grantedScope }),
    ...(resource && { resource })
  }
}

function readExpiry (response: TokenResponse, issuedAt: number, defaultExpiresIn: number | undefined): number | undefined {
  const expiresIn = Number(response.expires_in ?? NaN)
  if (Number.isFinite(expiresIn)) return issuedAt + Math.max(0, expiresIn)
  const exp = readClaims(response.access_token)?.exp
  if (typeof exp === 'number') return exp
  return defaultExpiresIn === undefined ? undefined : issuedAt + defaultExpiresIn
}
