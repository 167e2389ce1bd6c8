import type { JWK } from 'jose'

export type ClientAuthenticationMethod =
  'client_secret_basic' | 'client_secret_post' | 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth' | 'self_signed_tls_client_auth' | 'none'

/** How a provider behaves. All of it may be changed at any time, but for what is read at the start. */
export interface TestProviderSettings {
  /** Default: `web`. */
  clientId: string
  /** Default: `a secret`. */
  clientSecret: string
  /** The methods that the client may authenticate with, as the metadata lists them. Default: `client_secret_basic` and `client_secret_post`. */
  clientAuthentication: ClientAuthenticationMethod[]
  /** The registered public keys of the client; for self_signed_tls_client_auth with the certificate in x5c. */
  clientJwks: { keys: JWK[] }
  /** The registered subject of the client's certificate, for tls_client_auth. */
  clientSubject: string
  /** Whom client assertions must be for. Default: `issuer`. */
  assertionAudience: 'issuer' | 'token_endpoint'
  /** Seconds that client assertions may live. Default: 60. */
  assertionLifetime: number
  /** The typ in the header of client assertions; `undefined`, the default, takes any. */
  assertionType: string | undefined
  /** Listens with TLS, too, and asks for a certificate there; `ca` is whom certificates are trusted of. Read at the start. */
  tls: { cert: string, key: string, ca: string } | null
  /** It calls itself https, as if a proxy before it had ended the TLS. Read at the start. */
  behindTls: boolean
  /** The registered redirect URIs; `null`, the default, takes any on loopback. */
  redirectUris: string[] | null
  /** The `sub` of whoever comes to the authorization endpoint: nobody is asked for a password. Default: `alice`. */
  user: string
  /** An OAuth error that the authorization endpoint redirects with instead of a code, such as `access_denied`. */
  loginError: string | null
  /** Only authorization requests that were pushed are taken (RFC 9126 §5). Default: `false`. */
  requirePushedRequests: boolean
  /** Lifetime of access tokens in seconds. Default: 300. */
  expiresIn: number
  /** The refresh token that a refresh is answered with: a new one (the default), the same one, or none. */
  rotation: 'new' | 'same' | 'none'
  /** A spent refresh token is answered with its successor again, so many times or seconds, while that one is unspent. Default: never. */
  grace: { uses?: number, seconds?: number } | null
  /** The resources (RFC 8707) that tokens are given for; `null`, the default, takes any absolute URI. */
  resources: string[] | null
  /** Default: `opaque`. */
  accessTokenFormat: 'opaque' | 'jwt'
  /** Random bytes in access tokens that are opaque, and in refresh tokens. Default: 32. */
  tokenBytes: number
  /** Every token request must come with a proof of possession (RFC 9449); without this one may. Default: `false`. */
  dpop: boolean
  /** Whether proofs need a nonce; each answer brings a new one. `issued`: any of them is good; `newest`: the last one; `once`: for one request. */
  dpopNonce: null | 'issued' | 'newest' | 'once'
  /** Refresh tokens are bound to the key too, and not only those of public clients. Default: `false`. */
  bindRefreshTokens: boolean
  /** Claims to add to JWT access tokens. */
  accessTokenClaims: Record<string, unknown>
  /** Claims to add to id_tokens: `{ name: 'Alice' }`. */
  idTokenClaims: Record<string, unknown>
  /** What the userinfo endpoint says besides. */
  userinfoClaims: Record<string, unknown>
  /** Seconds between the processing of a token request and its answer. Default: 0. */
  latency: number
  /** Where the metadata is served. Default: `/.well-known/openid-configuration`. */
  metadataPaths: string[]
  /** Members to replace in the metadata; `undefined` leaves one out. */
  metadata: Record<string, unknown>
  /** Seconds since the epoch. Default: the system's. */
  clock: () => number
}

export function settingsFrom (given: Partial<TestProviderSettings>): TestProviderSettings {
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
    dpop: false,
    dpopNonce: null,
    bindRefreshTokens: false,
    accessTokenClaims: {},
    idTokenClaims: {},
    userinfoClaims: {},
    latency: 0,
    metadataPaths: ['/.well-known/openid-configuration'],
    metadata: {},
    clock: () => Date.now() / 1000,
    ...given
  }
}
