import { createError } from '@fastify/error'
import type { FastifyError } from 'fastify'

/*
 * Every error of this plugin. Messages say what to do next and never hold a token, a secret or a body;
 * the `cause` says what happened. The classes of @fastify/error are flat: tell them apart by `code`.
 */

/** Wrong, missing or unknown options: the boot fails. */
export const InvalidOptions = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_INVALID_OPTIONS', 'Invalid options of fastify-token-management: %s', 500)

/** The metadata of the authorization server could not be had at boot (OIDC Discovery, RFC 8414). */
export const DiscoveryFailed = createError<[issuer: string, problem: string, options?: ErrorOptions]>('FST_TOKEN_DISCOVERY_FAILED', 'The metadata of the issuer %s could not be had: %s. See docs/troubleshooting.md', 500)

/** Nobody is logged in: there is no session, or one that does not open. */
export const Unauthenticated = createError<[options?: ErrorOptions]>('FST_TOKEN_UNAUTHENTICATED', 'Nobody is logged in. Send the browser to the login, or ask with { optional: true }.', 401, Error, false)

/** There was a session, and only a new login can go on with it. */
export const LoginRequired = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_LOGIN_REQUIRED', 'A login is needed: %s. Send the browser to the login.', 401, Error, false)

/** The token service is out of reach; the session is as it was. */
export const ServiceUnavailable = createError<[seconds: number, options?: ErrorOptions]>('FST_TOKEN_SERVICE_UNAVAILABLE', 'The token service is out of reach; try again in %d s. No session is ended by this.', 503, Error, false)

/** The token service refuses the app, not the user: a matter of its configuration. */
export const ServiceRefused = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_SERVICE_REFUSED', 'The token service refuses the request of this app: %s. Check the client registration and the options. See docs/troubleshooting.md', 502)

/** The answer is not a token response that can be used. */
export const ServiceBadResponse = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_SERVICE_BAD_RESPONSE', 'The answer of the token service cannot be used: %s. No session is ended by this. See docs/troubleshooting.md', 502)

/** The store failed to read or to write; a failed read is never a logout. */
export const StoreFailed = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_STORE_FAILED', 'The token store failed to %s. See the cause; the session is not ended by this.', 503)

/** Sessions are asked for without a request, and the store in force cannot find them so. */
export const NoDirectory = createError<[options?: ErrorOptions]>('FST_TOKEN_STORE_NO_DIRECTORY', 'The token store in force finds sessions by their requests only. For app.tokenSessions keep them on Redis (tokenStore: redisTokenStore({ redis }) of the entry point /redis), or give your own store a directory: see docs/server-side-sessions.md.', 500)

/** The sealed session does not fit into the cookies it may take. */
export const SessionTooLarge = createError<[size: number, limit: number, parts: string, options?: ErrorOptions]>('FST_TOKEN_SESSION_TOO_LARGE', 'The session would take %d bytes of cookies, and session.maxCookieBytes allows %d. It holds: %s. Ask the provider for smaller tokens (fewer scopes, groups or roles), or keep them on the server: register @fastify/session, or give tokenStore: redisTokenStore({ redis }).', 500)

/** The headers are sent, so the cookie of a new session can no longer be. */
export const HeadersSent = createError<[options?: ErrorOptions]>('FST_TOKEN_HEADERS_SENT', 'The response headers are sent already, so a changed session could not reach the browser. Ask for the token before replying, or use a store on the server.', 500)

/** A WebSocket handshake, whose answer carries no cookie, so that no refresh token is spent on it. */
export const Upgrade = createError<[options?: ErrorOptions]>('FST_TOKEN_UPGRADE', 'The access token has expired, and the answer to a WebSocket handshake carries no cookie, so that a refreshed session could not reach the browser. Let the page make an ordinary request first and connect again, or use a store on the server.', 409)

/** A provider that no registration has named. */
export const UnknownProvider = createError<[name: string, known: string, options?: ErrorOptions]>('FST_TOKEN_UNKNOWN_PROVIDER', 'No token management is registered with the name %s. Registered: %s.', 500)

/** A function of the app that has its part in a request to the provider: the request was not sent. */
export const HookFailed = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_HOOK_FAILED', 'Nothing was sent to the provider: %s. No session is ended by this.', 500)

/** A client that no registration has named in its option `clients`. */
export const UnknownClient = createError<[name: string, known: string, options?: ErrorOptions]>('FST_TOKEN_UNKNOWN_CLIENT', 'No client has the name %s. Declared in the option clients: %s.', 500)

/** An API that no registration has named. */
export const UnknownApi = createError<[name: string, known: string, options?: ErrorOptions]>('FST_TOKEN_UNKNOWN_API', 'No API has the name %s. Declared in the option apis: %s.', 500)

/** A call with the token of one API that would go elsewhere; nothing was sent. */
export const ForeignOrigin = createError<[origin: string, api: string, own: string, options?: ErrorOptions]>('FST_TOKEN_FOREIGN_ORIGIN', 'Not sent: %s is not where the API %s is, and its token goes to %s only. Give a path, or declare another API.', 500)

/** An API that gave no answer. */
export const ApiUnavailable = createError<[api: string, options?: ErrorOptions]>('FST_TOKEN_API_UNAVAILABLE', 'The API %s cannot be reached. See the cause; try again.', 502)

/** An API that gave no answer in time. */
export const ApiTimeout = createError<[api: string, options?: ErrorOptions]>('FST_TOKEN_API_TIMEOUT', 'The API %s did not answer in time. See the cause; try again.', 504)

/** Parameters that nothing can be asked for or made with; nothing was. */
export const InvalidParameters = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_INVALID_PARAMETERS', 'These parameters cannot be used: %s.', 500)

/** A proof of possession is wanted, and there is no key for it (RFC 9449). */
export const NoDpopKey = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_NO_DPOP_KEY', 'There is no DPoP key that could be used: %s.', 500)

/** The callback of the login cannot be redeemed. */
export const LoginFailed = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_LOGIN_FAILED', 'The login failed: %s. Start it again.', 400)

/** A request that uses the session, and does not come from the app's own pages. */
export const CrossSite = createError<[problem: string, options?: ErrorOptions]>('FST_TOKEN_CROSS_SITE', 'Refused: %s comes from another origin, or does not say from where. Send it from a page of this app.', 403)

/** A request that uses the session, and lacks what no page of another site can send. */
export const CsrfHeaderMissing = createError<[header: string, options?: ErrorOptions]>('FST_TOKEN_CSRF_HEADER', 'Refused: the header that keeps other sites from using this session is missing. Send %s with each request, from a page of this app.', 403, Error, false)

/** A 401 of this plugin: only a login helps. `reply.startLogin({ provider })` starts it. */
export interface UnauthenticatedError extends FastifyError {
  readonly code: 'FST_TOKEN_UNAUTHENTICATED' | 'FST_TOKEN_LOGIN_REQUIRED'
  /** The name of the registration whose login is meant. */
  readonly provider: string
  /** Where a browser logs in, as it sees it; `undefined` where that registration has no `login`. */
  readonly loginPath?: string | undefined
}

/** The `code` of an error of this plugin. */
export type TokenErrorCode =
  | 'FST_TOKEN_INVALID_OPTIONS'
  | 'FST_TOKEN_DISCOVERY_FAILED'
  | 'FST_TOKEN_UNAUTHENTICATED'
  | 'FST_TOKEN_LOGIN_REQUIRED'
  | 'FST_TOKEN_SERVICE_UNAVAILABLE'
  | 'FST_TOKEN_SERVICE_REFUSED'
  | 'FST_TOKEN_SERVICE_BAD_RESPONSE'
  | 'FST_TOKEN_STORE_FAILED'
  | 'FST_TOKEN_STORE_NO_DIRECTORY'
  | 'FST_TOKEN_SESSION_TOO_LARGE'
  | 'FST_TOKEN_HEADERS_SENT'
  | 'FST_TOKEN_UPGRADE'
  | 'FST_TOKEN_UNKNOWN_PROVIDER'
  | 'FST_TOKEN_HOOK_FAILED'
  | 'FST_TOKEN_UNKNOWN_CLIENT'
  | 'FST_TOKEN_UNKNOWN_API'
  | 'FST_TOKEN_FOREIGN_ORIGIN'
  | 'FST_TOKEN_API_UNAVAILABLE'
  | 'FST_TOKEN_API_TIMEOUT'
  | 'FST_TOKEN_INVALID_PARAMETERS'
  | 'FST_TOKEN_NO_DPOP_KEY'
  | 'FST_TOKEN_LOGIN_FAILED'
  | 'FST_TOKEN_CROSS_SITE'
  | 'FST_TOKEN_CSRF_HEADER'

/** An error of this plugin: its `code` says which. */
export type TokenError<Code extends TokenErrorCode = TokenErrorCode> =
  Code extends UnauthenticatedError['code'] ? UnauthenticatedError & { readonly code: Code } : FastifyError & { readonly code: Code }

/**
 * Whether an error is one of this plugin's, or, with a code, that one.
 *
 * @example
 * app.setErrorHandler((error, request, reply) => {
 *   if (isTokenError(error, 'FST_TOKEN_SERVICE_UNAVAILABLE')) return reply.code(503).send('Back in a minute')
 *   return reply.send(error)
 * })
 */
export function isTokenError<Code extends TokenErrorCode = TokenErrorCode> (error: unknown, code?: Code): error is TokenError<Code> {
  return hasCode(error) && (code === undefined || error.code === code)
}

/** What a store has thrown, under its name, and when it is worth to try again: in a second. */
export function storeFailed (verb: string, cause: unknown): FastifyError {
  return Object.assign(new StoreFailed(verb, { cause }), { headers: { 'retry-after': '1' } })
}

/** Whether an error says that nobody is logged in (any more), and not that something is broken. */
export function isNobody (error: unknown): error is FastifyError {
  return hasCode(error, 'FST_TOKEN_UNAUTHENTICATED') || hasCode(error, 'FST_TOKEN_LOGIN_REQUIRED')
}

/** Whether an error is one of these, or, with a whole code, that one. */
export function hasCode (error: unknown, code = 'FST_TOKEN_'): error is Error & { readonly code: unknown } {
  return error instanceof Error && 'code' in error && String(error.code).startsWith(code)
}
