import type { webcrypto } from 'node:crypto'
import type { Identity } from './identity.ts'
import type { TokenWish } from './token-wish.ts'

/** One access token, and what it is for. Times are seconds since the epoch. */
export interface AccessToken {
  /** Empty for a login's own token that found no room where the session is kept: it is as good as expired. */
  readonly accessToken: string
  readonly tokenType: 'Bearer' | 'DPoP'
  /** When the request for it was sent (its lifetime is counted from there, RFC 6749 §5.1). */
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
  /** Of the id_token what `session.claims` names, `sid` and `iat`: kept where the id_token itself was too large. */
  readonly claims?: Readonly<Record<string, unknown>>
}

/** What a wish means in a session: without a resource it is for that of the login (RFC 8707 §2.2). */
export function completeWish ({ accessTokens: [login] }: TokenSet, wish: TokenWish): TokenWish {
  return wish.resource !== undefined || login?.resource === undefined ? wish : { ...wish, resource: login.resource }
}

/** Whether a complete wish is for what the login itself has brought: what the answer says of that is about the session. */
export function isLoginsOwn ({ accessTokens: [login] }: TokenSet, { resource, scope }: TokenWish): boolean {
  return scope === undefined && resource === login?.resource
}

/** The access token in the set that was asked for like this, expired or not; the first is the login's own. */
export function findAccessToken ({ accessTokens }: TokenSet, { resource, scope }: TokenWish): AccessToken | undefined {
  return accessTokens.find((token) => token.resource === resource && token.requestedScope === scope)
}
