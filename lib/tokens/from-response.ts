import { randomUUID } from 'node:crypto'
import { keptClaims } from './claims.ts'
import { identityOf } from './identity.ts'
import { readClaims } from './jwt.ts'
import { type AccessToken, findAccessToken, type JsonWebKey, type TokenSet } from './token-set.ts'
import type { TokenWish } from './token-wish.ts'

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
  /** Which claims of an id_token are kept beside it. */
  readonly claims?: readonly string[]
  /** Seconds since the epoch when the request was sent. */
  readonly issuedAt: number
  /** Seconds, for answers without `expires_in` whose token has no `exp`. */
  readonly defaultExpiresIn?: number
  /** Seconds since the epoch when it was sent, by the clock of the service (`Date`, RFC 9110 §6.6.1). */
  readonly answeredAt?: number
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
    ...readIdToken(response, reading)
  }
}

/** The token set after a refresh: what the answer leaves out is kept (RFC 6749 §5.1 and §6, OpenID Connect Core §12.2), but never an old expiry. */
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
    ...readIdToken(response, reading, previous.claims),
    ...(previous.identity && { identity: previous.identity })
  }
}

/** The token set after an answer that cannot be used, but has spent the refresh token and brought a new one. */
export function salvagedTokenSet (previous: TokenSet, refreshToken: string): TokenSet {
  return { ...previous, generation: previous.generation + 1, refreshToken }
}

function readIdToken ({ id_token: idToken }: TokenResponse, reading: Reading, before?: TokenSet['claims']): Pick<TokenSet, 'idToken' | 'identity' | 'claims'> {
  if (!idToken) return {}
  const identity = identityOf(idToken)
  const claims = keptClaims(idToken, reading.claims ?? [], before)
  return { idToken, ...(identity && { identity }), ...(claims && { claims }) }
}

/** The access token of an answer, and what it was asked for with: that is what it is for, where the answer does not say (RFC 6749 §5.1). */
export function readAccessToken (response: TokenResponse, reading: Reading, { resource, scope }: TokenWish): AccessToken {
  const grantedScope = response.scope ?? scope
  const lifetime = lifetimeOf(response, reading)
  const { issuedAt } = reading
  return {
    accessToken: response.access_token,
    tokenType: response.token_type.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer',
    issuedAt,
    generation: 0,
    ...(lifetime !== undefined && { expiresAt: issuedAt + Math.max(0, lifetime) }),
    ...(grantedScope && { scope: grantedScope }),
    ...(resource && { resource })
  }
}

/** Seconds. What a JWT says counts by the clock that it was made with: that of this machine may be wrong. */
function lifetimeOf ({ expires_in: expiresIn, access_token: accessToken }: TokenResponse, { answeredAt, defaultExpiresIn }: Reading): number | undefined {
  const told = Number(expiresIn ?? NaN)
  if (Number.isFinite(told)) return told
  const { exp, iat } = readClaims(accessToken) ?? {}
  const madeAt = answeredAt ?? iat
  return typeof exp === 'number' && typeof madeAt === 'number' ? exp - madeAt : defaultExpiresIn
}
