import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { ClientAuth } from 'oauth4webapi'
import { type Static, type TNumber, type TSchema, Type } from 'typebox'
import type { Agent, Dispatcher } from 'undici'
import type { IdTokenClaims } from '../tokens/claims.ts'
import type { RefreshedEvent, RefreshFailedEvent, RefreshTokenReusedEvent, SessionEndedEvent } from '../tokens/events.ts'
import type { ExtraParameters } from '../tokens/extra-parameters.ts'
import type { EditableRequest, MendedAnswer, OutgoingRequest, ProviderAnswer } from '../tokens/outgoing-request.ts'
import type { SharedCoordinatorFactory } from '../tokens/shared-coordinator.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { TokenStoreFactory } from '../tokens/token-store.ts'

/*
 * The options: one schema, and the only place with defaults. The table of docs/options.md and `types/options.ts` are written
 * from it by `npm run docs`. What the schema cannot say (rules across fields) is in `check.ts`.
 */

/** What DPoP keys sign with: elliptic curves only, since an RSA key would fill half of a cookie. */
const Algorithm = Type.Union([Type.Literal('ES256'), Type.Literal('ES384'), Type.Literal('ES512'), Type.Literal('Ed25519'), Type.Literal('EdDSA')], { default: 'ES256' })

/** The metadata of an authorization server, by hand (RFC 8414 §2); members not named here are ignored. */
const Metadata = Type.Object({
  issuer: Type.String({ description: 'The issuer, exactly as it stands in id_tokens.' }),
  token_endpoint: Type.String({ description: 'Where tokens come from.' }),
  authorization_endpoint: Type.Optional(Type.String({ description: 'Where the browser is sent to log in; needed with `login`.' })),
  revocation_endpoint: Type.Optional(Type.String({ description: 'Where tokens are revoked (RFC 7009).' })),
  pushed_authorization_request_endpoint: Type.Optional(Type.String({ description: 'Where authorization requests are pushed to (RFC 9126).' })),
  userinfo_endpoint: Type.Optional(Type.String({ description: 'Where the provider says who somebody is; needed with `login.userInfo`.' })),
  jwks_uri: Type.Optional(Type.String({ description: 'Where the keys are that tokens are signed with (RFC 7517).' })),
  require_pushed_authorization_requests: Type.Optional(Type.Boolean({ description: 'Whether the provider takes no others.' })),
  end_session_endpoint: Type.Optional(Type.String({ description: 'Where the browser is sent to log out (OpenID Connect RP-Initiated Logout).' })),
  mtls_endpoint_aliases: Type.Optional(Type.Object({
    token_endpoint: Type.Optional(Type.String({ description: 'In place of `token_endpoint`.' })),
    revocation_endpoint: Type.Optional(Type.String({ description: 'In place of `revocation_endpoint`.' })),
    pushed_authorization_request_endpoint: Type.Optional(Type.String({ description: 'In place of `pushed_authorization_request_endpoint`.' }))
  }, { description: 'Where `tlsClientAuth` finds endpoints that ask for a certificate (RFC 8705 §5).' })),
  id_token_signing_alg_values_supported: Type.Optional(Type.Array(Type.String(), { description: 'What id_tokens are signed with; `RS256` where it is left out.' })),
  dpop_signing_alg_values_supported: Type.Optional(Type.Array(Type.String(), { description: 'What proofs may be signed with (RFC 9449); with it, `dpop.alg` is checked at boot.' })),
  authorization_response_iss_parameter_supported: Type.Optional(Type.Boolean({ description: 'Whether the callback must name the issuer (RFC 9207).' })),
  code_challenge_methods_supported: Type.Optional(Type.Array(Type.String(), { description: 'How the provider binds a code to the browser that asked for it (PKCE, RFC 7636): with `S256`, or the boot warns where nothing else does that.' }))
}, { description: 'The RFC 8414 document by hand, instead of `issuer`. Members that are `null` or empty are absent.' })

const Session = Type.Object({
  key: Type.Optional(key({ description: 'Seals the cookie: 32 bytes as Buffer, base64 or hex text, or an array of them (the first seals, all open). What seals is derived from it for one purpose each. Required, unless there is no `login`, and @fastify/session is registered before (whose store then holds the tokens, in clear without a key) or a store of your own is decorated as `app.tokenStore`.' })),
  cookieName: Type.Optional(Type.String({ pattern: '^[\\w-]+$', description: '`__Host-tokens`, and `__Host-<name>-tokens` for a named provider; without the prefix where the cookie cannot be `Secure`.' })),
  cookie: Type.Object({
    domain: Type.Optional(Type.String({ description: 'Only with a `cookieName` without `__Host-`.' })),
    path: Type.String({ default: '/', description: 'Other than `/` only with a `cookieName` without `__Host-`.' }),
    sameSite: Type.Union([Type.Literal('lax'), Type.Literal('strict'), Type.Literal('none')], { default: 'lax', description: 'RFC 6265bis §5.6.7. `strict` loses the session on the way back from the login page.' }),
    secure: Type.Optional(Type.Boolean({ description: '`true`, and `false` where `login.callbackUri` is plain http.' })),
    partitioned: Type.Boolean({ default: false, description: 'Keeps the cookies of an app that is embedded in other sites apart for each of them (CHIPS); for that, `sameSite` is `none`.' })
  }, { default: {}, additionalProperties: false, description: 'Attributes of the cookie. It is always HttpOnly.' }),
  claims: Type.Array(Type.String({ minLength: 1 }), { default: ['sub', 'name', 'preferred_username', 'email'], description: 'What is kept of the id_token for `request.tokens.claims()`, also where the id_token itself is too large; `sid` and `iat` are kept in any case.' }),
  maxCookieBytes: Type.Integer({ default: 8000, minimum: 1000, maximum: 32_768, description: 'The most that the session may take of a Cookie header, over all the cookies it is split into. A stock nginx answers 400 above 8 KB: see docs/storage.md.' }),
  inactivityDuration: seconds({ default: 86_400, description: 'Ends a session that was not used for so long.' }),
  absoluteDuration: seconds({ default: 604_800, description: 'Ends a session so long after its login.' }),
  endsWith: Type.Optional(Type.String({ minLength: 1, description: 'The `sessionName` of the app\'s own @fastify/secure-session, registered before: where the app deletes that session, the tokens end with it. Default: `session`, where there is such a one.' }))
}, { default: {}, additionalProperties: false, description: 'The session cookie.' })

const Login = Type.Object({
  callbackUri: Type.String({ description: 'Where the provider sends the browser back to (the `redirect_uri`); its path becomes a route.' }),
  callbackPath: Type.Optional(path({ description: 'The route of the callback, where it is not the path of `callbackUri`: behind a proxy that strips a prefix from it.' })),
  scope: Type.Array(Type.String({ minLength: 1 }), { description: 'What to ask for. `openid` for an id_token; many providers want `offline_access` for a refresh token.' }),
  resource: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })], { description: 'The APIs to ask for (RFC 8707): absolute URIs without a fragment. The login\'s own token is for the first of them; `request.accessToken({ resource })` gives those of the others.' })),
  parameters: Type.Optional(extraParameters<FastifyRequest>({ description: 'What else the authorization request holds: `audience`, `prompt`, `acr_values`, `login_hint`… A function makes them for each request; what it takes from that is the browser\'s to say.' })),
  startRedirectPath: path({ default: '/auth/login', description: 'The route that sends the browser to the provider; `?returnTo=/local/path` is where it ends up. `/auth/<name>/login` for a named provider.' }),
  nonce: Type.Boolean({ default: true, description: '`false`: logins ask for no `nonce`, for providers that leave it out of their id_tokens (LinkedIn). That gives up one of two defences against an id_token, or a code, that was taken from another login; the other is PKCE.' }),
  verifySignature: Type.Boolean({ default: true, description: 'Verify id_tokens, of logins and of refreshes, by the keys at the provider\'s `jwks_uri`, where its metadata has one. `false`: only the TLS connection to the provider vouches for them (OpenID Connect Core §3.1.3.7).' }),
  userInfo: Type.Boolean({ default: false, description: 'Ask the UserInfo endpoint once at login, for providers whose id_token says little: what `session.claims` names, and the id_token does not say, is kept of it. The login goes on without where that fails, and fails where it is about somebody else.' }),
  pushedAuthorizationRequests: Type.Boolean({ default: false, description: 'Push the authorization request to the provider, so that its parameters do not travel through the browser (PAR, RFC 9126). Done in any case where the provider\'s metadata says `require_pushed_authorization_requests`.' }),
  saveTokens: Type.Boolean({ default: true, description: '`false`: the tokens are handed to `login.onTokens` and not stored.' }),
  onTokens: Type.Optional(callback<(request: FastifyRequest, reply: FastifyReply, tokens: TokenSet, claims?: IdTokenClaims) => unknown>({ description: 'Takes the tokens where `saveTokens` is `false`.' })),
  onLogin: Type.Optional(callback<(request: FastifyRequest, reply: FastifyReply, tokens: TokenSet, claims?: IdTokenClaims) => unknown>({ description: 'Runs after a login is stored, with the claims of the id_token. May send a reply of its own, and returns it then. Fails closed: what it throws is the answer, nobody is logged in then, and what was issued is revoked.' })),
  onFailed: Type.Optional(callback<(request: FastifyRequest, reply: FastifyReply, error: FastifyError) => unknown>({ description: 'Answers a login that failed, in place of the plain page for people and the JSON for programs. It sends the reply, or returns what is to be sent with the status of the error.' }))
}, { additionalProperties: false, description: 'Log in through the provider, with @fastify/oauth2. Leave it out where the app does that itself and calls `request.tokens.save()`.' })

const Logout = Type.Object({
  path: path({ default: '/auth/logout', description: 'The route that logs out: POST, from a page of the app itself, by a form or by `fetch`. `/auth/<name>/logout` for a named provider.' }),
  backchannelLogoutPath: Type.Optional(path({ description: 'The route to which the provider posts logout tokens (OpenID Connect Back-Channel Logout); registered there as the `backchannel_logout_uri`. It needs a provider with a `jwks_uri`, and the option `coordinator` or a store that finds its sessions. See docs/login.md.' })),
  postLogoutRedirectUri: Type.Optional(Type.String({ description: 'Where the provider sends the browser after the logout; registered there. Default: the page of the provider, or `/` where it has no `end_session_endpoint`.' }))
}, { additionalProperties: false, or: 'false', description: 'The logout route; there with `login`, or when given. `false`: there is none.' })

const Bff = Type.Object({
  csrfHeader: Type.String({ default: 'X-CSRF: 1', pattern: '^[Xx]-[\\w-]+: [\\x21-\\x7E]+$', description: 'The header that a page sends with each of its requests, for `app.requireCsrfHeader`; as the first registration says. Its name begins with `X-`, so that no page of another site can send it; `X-Requested-With: XMLHttpRequest` is what jQuery sends by itself.' }),
  session: Type.Optional(Type.Object({
    path: path({ default: '/auth/session', description: 'Where it is; `/auth/<name>/session` for a named provider.' }),
    anonymous: Type.Union([Type.Literal(401), Type.Literal('null')], { default: 401, description: 'What it answers where nobody is logged in: a 401 with the `loginPath`, or a 200 with `null`.' })
  }, { additionalProperties: false, or: 'boolean', description: '`true`, or these: the route that tells a page who is logged in, and for how long. Without it, there is none.' }))
}, { default: {}, additionalProperties: false, description: 'What the app\'s pages talk to. See docs/spa.md.' })

const Client = Type.Object({
  scope: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { description: 'What its tokens are for; default: what the provider gives it.' })),
  resource: Type.Optional(Type.String({ description: 'The API that its tokens are for (RFC 8707): an absolute URI without a fragment.' })),
  parameters: Type.Optional(parameters({ description: 'What else its token requests hold, such as Auth0\'s `audience`.' })),
  clientId: Type.Optional(Type.String({ minLength: 1, description: 'Another client than the provider\'s own; comes with `clientSecret` or `clientAuthentication`.' })),
  clientSecret: Type.Optional(Type.String({ minLength: 1, description: 'Authenticates that client with `client_secret_basic`.' })),
  clientAuthentication: Type.Optional(clientAuthentication({ description: 'How else that client authenticates.' }))
}, { additionalProperties: false, description: 'What the client is asked for with, and as whom.' })

const Exchange = Type.Object({
  audience: Type.Optional(Type.String({ minLength: 1, description: 'The name of the API at the token service, where it has no URI of its own to be the `resource`.' })),
  resource: Type.Optional(Type.String({ description: 'The API that the issued token is for (RFC 8707): an absolute URI without a fragment.' })),
  scope: Type.Optional(Type.String({ minLength: 1, description: 'What the issued token is for, with spaces between.' })),
  requestedTokenType: Type.Optional(Type.String({ minLength: 1, description: '`requested_token_type`; default: what the service gives, which must be an access token.' })),
  subjectTokenType: Type.Optional(Type.String({ minLength: 1, description: '`subject_token_type`; default: `urn:ietf:params:oauth:token-type:access_token`.' })),
  parameters: Type.Optional(parameters({ description: 'What else the service wants to know.' }))
}, { additionalProperties: false, description: 'The user\'s token is exchanged for one that this API takes (RFC 8693); `resource` and `scope` beside it say which token of the session that is.' })

/** Whose token a call to an API carries. */
const TokenKind = Type.Union([Type.Literal('user'), Type.Literal('client'), Type.Literal('user-or-client'), Type.Literal('user-or-none'), Type.Literal('none')],
  { description: 'Whose token it gets: the `user`\'s, the `client`\'s, or `none`. `user-or-client` and `user-or-none` go by whether somebody is logged in, and never by whether a token could be had.' })

const Api = Type.Object({
  origin: Type.String({ description: 'Where it is: scheme, host and port, and nothing else. Its token goes nowhere else. https, or plain http as for the provider: on loopback, and where `allowInsecureRequests` lists it.' }),
  token: TokenKind,
  resource: Type.Optional(Type.String({ description: 'The access token for this resource (RFC 8707): an absolute URI without a fragment.' })),
  scope: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { description: 'The access token of this scope; default: the login\'s own, or what the client is declared with.' })),
  client: Type.Optional(Type.String({ minLength: 1, description: 'Whose token it is where it is the client\'s: a name of `clients`.' })),
  exchange: Type.Optional(Exchange),
  dispatcher: Type.Optional(instanceOf<Dispatcher>('an undici Dispatcher', (value) => typeof value === 'object' && value !== null && 'dispatch' in value, { description: 'The HTTP client to this API, a Dispatcher of undici 7 or later, which the app closes. Default: an undici Agent that all APIs share, and nobody else.' }))
}, { additionalProperties: false, description: 'Where it is, and whose token it gets.' })

const Parameters = Type.Object({
  code: Type.Optional(extraParameters<OutgoingRequest>({ description: 'To redeem the code of a login (RFC 6749 §4.1.3).' })),
  refresh: Type.Optional(extraParameters<OutgoingRequest>({ description: 'To refresh (RFC 6749 §6).' })),
  exchange: Type.Optional(extraParameters<OutgoingRequest>({ description: 'To exchange a token (RFC 8693).' })),
  revocation: Type.Optional(extraParameters<OutgoingRequest>({ description: 'To revoke a token (RFC 7009).' }))
}, { additionalProperties: false, description: 'What else the requests to the token service hold, always the same or by a function. What says who the client and the user are cannot be set. For the login: `login.parameters`; for clients: `clients.<name>.parameters`.' })

/** The schema of the plugin's options. All times are in seconds. */
export const OptionsSchema = Type.Object({
  issuer: Type.Optional(Type.String({ description: 'The provider, exactly as it names itself; its metadata is discovered (OpenID Connect Discovery, else RFC 8414), patiently at boot: for four fifths of Fastify\'s `pluginTimeout`. This or `metadata` is required.' })),
  metadata: Type.Optional(Metadata),
  tenants: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: 'The ids of the tenants that may log in, where the issuer is Entra ID\'s `/common` or `/organizations`. Without it, anybody who has an account there may.' })),
  allowInsecureRequests: Type.Array(Type.String(), { default: [], description: 'Origins that may be plain http, such as `http://keycloak:8080`, besides loopback (`localhost`, `*.localhost`, 127.0.0.0/8, [::1]). Tokens and secrets travel to them in clear: for development, warned of at boot.' }),
  clientId: Type.String({ minLength: 1, description: 'The client, as registered at the provider.' }),
  clientSecret: Type.Optional(Type.String({ minLength: 1, description: 'Authenticates the client with `client_secret_basic`. This or `clientAuthentication` is required.' })),
  clientAuthentication: Type.Optional(clientAuthentication({ description: 'How else the client authenticates: `privateKeyJwt({ key, kid })`, `tlsClientAuth({ cert, key })`… See docs/client-authentication.md.' })),
  clients: Type.Record(Type.String({ minLength: 1 }), Client, { default: {}, description: 'Clients for tokens of the app itself, by the client credentials grant (RFC 6749 §4.4): `app.clientAccessToken(\'orders\')`. Their names differ across registrations.' }),
  apis: Type.Record(Type.String({ minLength: 1 }), Api, { default: {}, description: 'The APIs that the app calls: `request.apiClient(\'orders\').fetch(\'/orders\')`, and `app.apiClient(\'orders\')` where no user is needed. Their names differ across registrations. See docs/calling-apis.md.' }),
  dpop: Type.Optional(Type.Union([Type.Object({ alg: Algorithm }, { additionalProperties: false }), Type.Boolean()], { description: '`true`, or `{ alg }` (`ES256` by default, `ES384`, `ES512`, `Ed25519`, or `EdDSA` as the older name of that): tokens are bound to a key of the session, and of no use without it (DPoP, RFC 9449).' })),
  parameters: Type.Optional(Parameters),
  headers: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Headers of the app\'s own for all requests to the token service.' })),
  tokenRequest: Type.Optional(callback<(request: EditableRequest) => unknown>({ description: 'Sees each request to the token service before the client is authenticated, and may change its `parameters` and `headers`; no credentials are in them. Where it throws, nothing is sent.' })),
  tokenResponse: Type.Optional(callback<(answer: ProviderAnswer) => MendedAnswer | undefined | Promise<MendedAnswer | undefined>>({ description: 'Sees each answer of the token service before it is judged, **tokens included**, and gives the `status` and `body` to judge in its place: for providers that nest their tokens, or have error codes of their own. It has `requestTimeout` for that. Where it throws, the answer is not used, and only its refresh token is kept. See docs/providers.md.' })),
  name: Type.String({ default: 'default', pattern: '^[A-Za-z0-9_-]+$', description: 'The name of the provider; needed from the second registration on.' }),
  session: Session,
  refreshBeforeExpiration: Type.Number({ default: 60, minimum: 0, description: 'An access token is refreshed so many seconds before it expires, but never before half of its lifetime is over.' }),
  refresh: Type.Union([Type.Literal('onRequest'), Type.Literal('preHandler'), Type.Literal('manual')], { default: 'onRequest', description: 'When tokens are refreshed for the whole app, as the first registration says; `manual`: where `app.refreshTokens` is put on a route, or a token is asked for.' }),
  gracePeriod: seconds({ default: 30, description: 'How long the successor of a spent refresh token is remembered after its cookie has come back.' }),
  coordinator: Type.Optional(callback<SharedCoordinatorFactory>({ description: 'What the processes of an app share, so that a refresh token is spent once by all of them together: `redisRefreshCoordinator({ redis })` of the entry point `/redis`; see docs/scaling.md. It needs `session.key`. Default: each process knows only what it does itself.' })),
  tokenStore: Type.Optional(callback<TokenStoreFactory>({ description: 'Keeps the sessions elsewhere than in the cookie, which then holds a random id: `redisTokenStore({ redis })` of the entry point `/redis`; see docs/server-side-sessions.md. It needs `session.key`. Or decorate it as `app.tokenStore`, as a store of your own (docs/custom-store.md). Default: @fastify/session, where that is registered before; else the cookie.' })),
  retryAmbiguous: Type.Boolean({ default: false, description: 'Send a refresh again whose answer was lost. Only for a token service that takes a refresh token twice within a grace period: others revoke the session.' }),
  defaultExpiresIn: Type.Optional(seconds({ description: 'The lifetime of an access token where neither the answer nor the token says. Without it, such a token is used until an API refuses it.' })),
  backchannel: Type.Optional(Type.Union([
    instanceOf<Dispatcher>('an undici Dispatcher', (value) => typeof value === 'object' && value !== null && 'dispatch' in value),
    Type.Unsafe<Agent.Options>(Type.Object({}))
  ], { description: 'The HTTP client to the token service: options of an undici Agent, or a Dispatcher of the app (which the app closes). Default: the decorated `app.backchannel`, else an Agent with 10 connections.' })),
  requestTimeout: atMost(120, seconds({ default: 10, description: 'The deadline of one call to the token service, all of it; 120 at most.' })),
  clockTolerance: atMost(300, Type.Number({ default: 30, minimum: 0, description: 'How far the clocks of the provider and of this machine may be apart when an id_token is checked; 300 at most.' })),
  login: Type.Optional(Login),
  logout: Type.Optional(Logout),
  bff: Bff,
  onRefreshed: Type.Optional(callback<(event: RefreshedEvent) => unknown>({ description: 'Told after each refresh: provider, new tokens, duration, how many callers waited.' })),
  onRefreshFailed: Type.Optional(callback<(event: RefreshFailedEvent) => unknown>({ description: 'Told after each refresh that failed: the class of the failure, and whether it ended the session.' })),
  onSessionEnded: Type.Optional(callback<(event: SessionEndedEvent) => unknown>({ description: 'Told when a session ends, and why: `logout`, `refreshTokenDead`, `replaced` by a later login in the same browser, `ended` from elsewhere by `app.tokenSessions`, `backchannelLogout` by the provider, or `expired` (seen when it comes back after `session.absoluteDuration`).' })),
  onRefreshTokenReused: Type.Optional(callback<(event: RefreshTokenReusedEvent) => unknown>({ description: 'Told when a refresh token comes back that somebody else has spent: see SECURITY.md for what that may mean.' })),
  clock: callback<() => number>({ default: () => () => Date.now() / 1000, description: 'Seconds since the epoch; replaced in tests.' })
}, { additionalProperties: false })

function seconds (options: { default?: number, description: string }) {
  return Type.Number({ ...options, exclusiveMinimum: 0 })
}

/** Somebody who gives more has meant milliseconds. */
function atMost (limit: number, schema: TNumber) {
  return Type.Refine(schema, (value) => value <= limit, () => `must be at most ${limit}: it is in seconds, not in milliseconds`)
}

function path (options: { default?: string, description: string }) {
  return Type.Refine(Type.String(options), (value) => /^\/(?![/\\])[^?#]*$/.test(value), () => 'must be a path: one slash first, no query and no fragment')
}

/** Extra parameters of a request; what is reserved is refused in `requests-check.ts`. */
function parameters (options: { description: string }) {
  return Type.Record(Type.String(), Type.String(), options)
}

function extraParameters<About> (options: { description: string }) {
  return Type.Union([callback<Extract<ExtraParameters<About>, (about: About) => unknown>>({ description: '' }), Type.Record(Type.String(), Type.String())], options)
}

/** A name, since the declarations would else say `Buffer<ArrayBufferLike>`, which is no type before TypeScript 5.7. */
type SessionKey = string | Buffer | Array<string | Buffer>

function key (options: { description: string }) {
  return Type.Unsafe<SessionKey>({ ...options })
}

function callback<Callback> (options: { description: string, default?: () => Callback }) {
  return instanceOf<Callback>('a function', (value) => typeof value === 'function', options)
}

function clientAuthentication (options: { description: string }) {
  const expected = 'a function: what clientSecretBasic(secret), clientSecretPost(secret), clientSecretJwt(secret), privateKeyJwt({ key }), tlsClientAuth({ cert, key }), clientAssertion(jwt) or none() of this package gives. See docs/client-authentication.md'
  return instanceOf<ClientAuth>(expected, (value) => typeof value === 'function', options)
}

function instanceOf<Instance> (expected: string, check: (value: unknown) => boolean, options: TSchema = {}) {
  return Type.Refine(Type.Unsafe<Instance>(options), check, () => `must be ${expected}`)
}

/** @see RFC 9449 §4.2, RFC 7518 §3.1, RFC 9864 */
export type DpopAlgorithm = Static<typeof Algorithm>

/** Whose token a call to an API carries. */
export type ApiTokenKind = Static<typeof TokenKind>

/** What was given, with every default filled in. */
export type Options = Static<typeof OptionsSchema>
