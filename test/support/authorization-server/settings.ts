import type { JWK } from 'jose'
import type { ClientAuthenticationMethod } from './client-authentication.ts'

/** What a test may set: at the start, and at any time after it by `server.settings.expiresIn = 5`. */
export interface Settings {
  clientId: string
  clientSecret: string
  /** The methods that the client may authenticate with, as the metadata lists them. */
  clientAuthentication: ClientAuthenticationMethod[]
  /** The registered public keys of the client; for self_signed_tls_client_auth with the certificate in x5c. */
  clientJwks: { keys: JWK[] }
  /** The registered subject of the client's certificate, for tls_client_auth. */
  clientSubject: string
  /** Whom client assertions must be for, how many seconds they may live, and the typ in their header; `undefined` takes any. */
  assertionAudience: 'issuer' | 'token_endpoint'
  assertionLifetime: number
  assertionType: string | undefined
  /** Listens with TLS, too, and asks for a certificate there; `ca` is whom certificates are trusted of. Read at the start. */
  tls: { cert: string, key: string, ca: string } | null
  /** It calls itself https, as if a proxy before it had ended the TLS. Read at the start. */
  behindTls: boolean
  /** The registered redirect URIs; `null` takes any on loopback. */
  redirectUris: string[] | null
  /** Who is logged in at the authorization endpoint. */
  user: string
  /** An OAuth error that the authorization endpoint redirects with instead of a code. */
  loginError: string | null
  /** Only authorization requests that were pushed are taken (RFC 9126 §5). */
  requirePushedRequests: boolean
  /** Lifetime of access tokens in seconds. */
  expiresIn: number
  /** The refresh token that a refresh is answered with: a new one, the same one, or none. */
  rotation: 'new' | 'same' | 'none'
  /** A spent refresh token is answered with its successor again, this often or this long, while that one is unspent. */
  grace: { uses?: number, seconds?: number } | null
  /** The resources (RFC 8707) that tokens are given for; `null` takes any absolute URI. */
  resources: string[] | null
  accessTokenFormat: 'opaque' | 'jwt'
  /** Random bytes in access tokens that are opaque, and in refresh tokens. */
  tokenBytes: number
  /** Every token request must come with a proof of possession (RFC 9449); without this one may. */
  dpop: boolean
  /** Whether proofs need a nonce; each answer brings a new one. `issued`: any of them is good, until `server.expireNonces()`; `once`: for one request. */
  dpopNonce: null | 'issued' | 'newest' | 'once'
  /** Refresh tokens are bound to the key too, and not only those of public clients. */
  bindRefreshTokens: boolean
  /** Claims to add to JWT access tokens, and to id_tokens. */
  accessTokenClaims: Record<string, unknown>
  idTokenClaims: Record<string, unknown>
  /** What the userinfo endpoint says besides. */
  userinfoClaims: Record<string, unknown>
  /** Milliseconds between the processing of a token request and its answer. */
  latency: number
  /** Where the metadata is served. */
  metadataPaths: string[]
  /** Members to replace in the metadata; `undefined` leaves one out. */
  metadata: Record<string, unknown>
  /** The clock, in milliseconds since the epoch. */
  now: () => number
}

export const openidPath = '/.well-known/openid-configuration'
/** RFC 8414 §3 */
export const oauthPath = '/.well-known/oauth-authorization-server'

/** A whole test file runs with DPoP, nonces included: see test/races-with-dpop.test.ts. */
export const everythingWithDpop = process.env.TOKEN_TYPE === 'DPoP'

export function settingsFrom (given: Partial<Settings>): Settings {
  return {
    clientId: 'web',
    clientSecret: 'a secret',
    clientAuthentication: ['client_secret_basic', 'client_secret_post'],
    clientJwks: { keys: [] },
    clientSubject: '',
    assertionAudience: 'issuer',
    assertionLifetime: 60,
    assertionType: undefined,
    tls: null,
    behindTls: false,
    redirectUris: null,
    user: 'alice',
    loginError: null,
    requirePushedRequests: false,
    expiresIn: 300,
    rotation: 'new',
    grace: null,
    resources: null,
    accessTokenFormat: 'opaque',
    tokenBytes: 32,
    dpop: everythingWithDpop,
    dpopNonce: everythingWithDpop ? 'issued' : null,
    bindRefreshTokens: false,
    accessTokenClaims: {},
    idTokenClaims: {},
    userinfoClaims: {},
    latency: 0,
    metadataPaths: [openidPath],
    metadata: {},
    now: Date.now,
    ...given
  }
}
