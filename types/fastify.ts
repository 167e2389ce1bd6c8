import type { FastifyReply, FastifyRequest, RawServerBase, RouteGenericInterface } from 'fastify'
import type { Dispatcher } from 'undici'
import type { AccessTokenParameters, TokenParameters, Tokens } from '../lib/request/tokens.ts'
import type { StartLoginParameters } from '../lib/login/start-login.ts'
import type { ClientDpopProofParameters, ClientTokenParameters } from '../lib/cached-tokens/client-tokens.ts'
import type { ApiClient } from '../lib/outbound/api-client.ts'
import type { ApiName, ClientName } from '../lib/outbound/names.ts'
import type { TokenSessions } from '../lib/request/token-sessions.ts'
import type { TokenStore } from '../lib/tokens/token-store.ts'

/** Of a server of HTTP/1 or HTTP/2, with TLS or without: what the hooks are put on. */
type AnyRequest = FastifyRequest<RouteGenericInterface, RawServerBase>
type AnyReply = FastifyReply<RouteGenericInterface, RawServerBase>

declare module 'fastify' {
  interface FastifyInstance {
    /** The token store in force: the app's own, or the session cookie. */
    readonly tokenStore: TokenStore
    /**
     * The sessions of the app, where there is no request: for jobs, for an admin's list, and to end them from anywhere. With a token store
     * that can find them: `redisTokenStore`, or your own with a `directory`. See docs/server-side-sessions.md.
     */
    readonly tokenSessions: TokenSessions
    /** The HTTP client to the token service in force: the app's own, or the plugin's pool. */
    readonly backchannel: Dispatcher
    /**
     * The current access token of a client of the option `clients`: for the app itself, and no user.
     *
     * @throws FST_TOKEN_UNKNOWN_CLIENT (500), FST_TOKEN_INVALID_PARAMETERS (500), FST_TOKEN_SERVICE_UNAVAILABLE (503),
     * FST_TOKEN_SERVICE_REFUSED (502), FST_TOKEN_SERVICE_BAD_RESPONSE (502)
     * @example
     * const token = await app.clientAccessToken('orders')
     */
    clientAccessToken (name: ClientName, parameters?: ClientTokenParameters): Promise<string>
    /**
     * A proof that this app holds the key that an access token of a client is bound to (DPoP, RFC 9449 §7.1), as
     * `request.tokens.dpopProof()` gives for those of a session.
     *
     * @throws what `clientAccessToken()` throws, and FST_TOKEN_NO_DPOP_KEY (500) without the option `dpop`.
     */
    clientDpopProof (name: ClientName, parameters: ClientDpopProofParameters): Promise<string>
    /**
     * Calls an API of the option `apis` that no user is needed for: one of `token: 'client'` or `'none'`. There where `apis` is given.
     *
     * @throws FST_TOKEN_UNKNOWN_API (500), FST_TOKEN_INVALID_PARAMETERS (500) for an API that gets a user's token
     * @example
     * const response = await app.apiClient('stock').fetch('/levels')
     */
    apiClient (name: ApiName): ApiClient
    /** Hook: refreshes the tokens if it is time; fails no request. */
    refreshTokens (request: AnyRequest, reply: AnyReply, done: (error?: Error) => void): void
    /**
     * Hook: a guard that ends requests without a current access token, before their bodies are parsed.
     *
     * @throws what `request.accessToken()` throws.
     * @example
     * app.get('/orders', { onRequest: app.requireAccessToken }, handler)
     */
    requireAccessToken (request: AnyRequest): Promise<void>
    /**
     * Hook: refuses what a page of another site may have sent. A page of the app sends the header `X-CSRF: 1` (option `bff.csrfHeader`)
     * with each request; EventSource and WebSockets, which cannot, pass if the browser says that they are of the own origin.
     *
     * @throws FST_TOKEN_CSRF_HEADER (403), FST_TOKEN_CROSS_SITE (403)
     * @example
     * app.post('/orders', { onRequest: app.requireCsrfHeader, config: { tokens: { required: true } } }, handler)
     */
    requireCsrfHeader (request: AnyRequest): Promise<void>
  }

  interface FastifyRequest {
    /** The tokens of the current session. */
    readonly tokens: Tokens
    /**
     * The current access token of the session, refreshed if it is time.
     *
     * @throws FST_TOKEN_UNAUTHENTICATED (401), FST_TOKEN_LOGIN_REQUIRED (401), FST_TOKEN_SERVICE_UNAVAILABLE (503),
     * FST_TOKEN_SERVICE_REFUSED (502), FST_TOKEN_SERVICE_BAD_RESPONSE (502), FST_TOKEN_STORE_FAILED (503),
     * FST_TOKEN_HEADERS_SENT (500), FST_TOKEN_UPGRADE (409), FST_TOKEN_UNKNOWN_PROVIDER (500), FST_TOKEN_INVALID_PARAMETERS (500)
     * @example
     * const token = await request.accessToken()
     */
    accessToken (parameters?: AccessTokenParameters & { optional?: false }): Promise<string>
    /** `null` instead of a 401 where nobody is logged in (any more). */
    accessToken (parameters: AccessTokenParameters & { optional?: boolean }): Promise<string | null>
    /**
     * Calls an API of the option `apis` with the token that it says: of this request's user, of a client, or none. There where
     * `apis` is given.
     *
     * @throws FST_TOKEN_UNKNOWN_API (500)
     * @example
     * const response = await request.apiClient('orders').fetch('/orders', { method: 'POST', body: JSON.stringify(order) })
     */
    apiClient (name: ApiName): ApiClient
  }

  /**
   * The names of the option `apis`. The app augments it, so that no other name compiles:
   *
   * @example
   * declare module 'fastify' {
   *   interface TokenApis { orders: unknown, stock: unknown }
   * }
   */
  interface TokenApis {}

  /** The names of the option `clients`, likewise. */
  interface TokenClients {}

  /** What `request.tokens.claims()` says of the user. The app augments it with what it keeps by `session.claims`. */
  interface TokenClaims {
    readonly sub?: string
    readonly name?: string
    readonly preferred_username?: string
    readonly email?: string
    /** The session at the provider (OpenID Connect Back-Channel Logout §2.1). */
    readonly sid?: string
    /** When the id_token was issued, in seconds since the epoch. */
    readonly iat?: number
  }

  interface FastifyReply {
    /**
     * Sends this browser to the provider, to log in, log in as somebody else, or show more of who it is. Only a navigation is
     * sent there: a fetch is answered 401 with the `loginPath`, where its page can go. Return what it gives.
     *
     * @throws FST_TOKEN_INVALID_PARAMETERS (500); what the provider refuses is answered as a login that failed.
     * @example
     * return reply.startLogin({ parameters: { acr_values: 'mfa' } })
     */
    startLogin (parameters?: StartLoginParameters): Promise<FastifyReply>
  }

  interface FastifyContextConfig {
    /**
     * Which tokens the plugin's hooks see to on this route; `false`: none. With `required: true` the route is guarded: without a
     * current access token a request ends with 401 or 503. With `required: 'login'` who goes to it as a page is sent to the
     * login instead, and comes back to it.
     */
    tokens?: Pick<TokenParameters, 'provider' | 'resource' | 'scope'> & { readonly required?: boolean | 'login' } | false
  }
}
