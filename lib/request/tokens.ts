import type { TokenClaims } from 'fastify'
import type { ProofRequest } from '../token-service/dpop.ts'
import type { TokenResponse } from '../tokens/from-response.ts'
import type { TokenExchange } from '../tokens/token-exchange.ts'
import type { JsonWebKey, TokenSet } from '../tokens/token-set.ts'
import type { TokenRequest } from './session-tokens.ts'

/** Whose tokens, and which. */
export interface TokenParameters extends TokenRequest {
  /** The `name` of a registration; default: the first. */
  readonly provider?: string
  /** Passed through to the token store. */
  readonly context?: unknown
}

/** Which access token `request.accessToken()` gives. */
export interface AccessTokenParameters extends TokenParameters {
  /**
   * A token that the token service issues in exchange for the session's own (RFC 8693): to call an API on behalf of the
   * user that wants a token of its own. `resource` and `scope` beside it say which token of the session is exchanged;
   * `forceRenewal` is about the token that is issued.
   */
  readonly exchange?: TokenExchange
}

/** Which session is meant. */
export type SessionParameters = Pick<TokenParameters, 'provider' | 'context'>

/** Of which session these are the tokens. */
export interface SaveParameters extends SessionParameters {
  /** The private key that the tokens are bound to, where their `token_type` is DPoP. */
  readonly dpopKey?: JsonWebKey
  /** The resource that they were asked for with (RFC 8707), where the app has named one. */
  readonly resource?: string
}

/** What a proof is for, and whose. */
export interface DpopProofParameters extends ProofRequest, Omit<TokenParameters, 'forceRenewal'> {}

/** What `@fastify/oauth2` returns: its RFC 6749 response is in `token`. */
export interface OAuth2Token {
  readonly token: TokenResponse
}

/** The tokens of the current session: `request.tokens`. */
export interface Tokens {
  /**
   * The token set, refreshed if it is time; `null` where nobody is logged in.
   *
   * @throws what `request.accessToken()` throws, but FST_TOKEN_UNAUTHENTICATED and FST_TOKEN_LOGIN_REQUIRED.
   */
  get (parameters?: TokenParameters): Promise<TokenSet | null>
  /**
   * Whose session it is: what `session.claims` keeps of the id_token, `sid` and `iat`; `{}` where there was no id_token. `null`
   * where nobody is logged in, or only a new login can go on. Nobody is asked: it answers with an expired access token, and while the
   * provider is down. Augment `TokenClaims` for claims of your own.
   *
   * @throws FST_TOKEN_STORE_FAILED
   * @example
   * declare module 'fastify' {
   *   interface TokenClaims { readonly department?: string }
   * }
   * const claims = await request.tokens.claims()
   * return { name: claims?.name, department: claims?.department }
   */
  claims (parameters?: SessionParameters): Promise<TokenClaims | null>
  /**
   * Starts a session with tokens that the app got by itself.
   *
   * @param response - an RFC 6749 token response, or what @fastify/oauth2 returns.
   * @throws FST_TOKEN_SERVICE_BAD_RESPONSE, FST_TOKEN_NO_DPOP_KEY, FST_TOKEN_SESSION_TOO_LARGE, FST_TOKEN_STORE_FAILED, FST_TOKEN_HEADERS_SENT, FST_TOKEN_INVALID_PARAMETERS
   * @example
   * const { token } = await app.github.getAccessTokenFromAuthorizationCodeFlow(request)
   * await request.tokens.save(token)
   */
  save (response: TokenResponse | OAuth2Token, parameters?: SaveParameters): Promise<TokenSet>
  /**
   * A proof that this app holds the key that the access token is bound to (DPoP, RFC 9449 §7.1): the value of the header
   * `DPoP` of a request to an API, once. The token itself goes into `Authorization: DPoP <token>`.
   *
   * @throws what `request.accessToken()` throws; FST_TOKEN_NO_DPOP_KEY for a session of Bearer tokens; FST_TOKEN_INVALID_PARAMETERS
   * @example
   * const accessToken = await request.accessToken()
   * const dpop = await request.tokens.dpopProof({ htm: 'GET', htu: url, accessToken })
   * await fetch(url, { headers: { authorization: `DPoP ${accessToken}`, dpop } })
   */
  dpopProof (parameters: DpopProofParameters): Promise<string>
  /** Ends the session here; the provider is not told. A refresh in flight does not bring it back. */
  clear (parameters?: SessionParameters): Promise<void>
  /**
   * Revokes the newest refresh token of the session and then its access tokens at the provider (RFC 7009), as well as that
   * goes within `requestTimeout`, and ends the session here.
   */
  revoke (parameters?: SessionParameters): Promise<void>
}
