// Written by `npm run docs` from lib/options/schema.ts: change it there.
import type { Options } from '../lib/options/schema.ts'

/** The options of the plugin. All times are in seconds. */
export interface TokenManagementOptions {
  /** The provider, exactly as it names itself; its metadata is discovered (OpenID Connect Discovery, else RFC 8414), patiently at boot: for four fifths of Fastify's `pluginTimeout`. This or `metadata` is required. */
  issuer?: Options['issuer']
  /** The RFC 8414 document by hand, instead of `issuer`. Members that are `null` or empty are absent. */
  metadata?: {
    /** The issuer, exactly as it stands in id_tokens. */
    issuer: NonNullable<Options['metadata']>['issuer']
    /** Where tokens come from. */
    token_endpoint: NonNullable<Options['metadata']>['token_endpoint']
    /** Where the browser is sent to log in; needed with `login`. */
    authorization_endpoint?: NonNullable<Options['metadata']>['authorization_endpoint']
    /** Where tokens are revoked (RFC 7009). */
    revocation_endpoint?: NonNullable<Options['metadata']>['revocation_endpoint']
    /** Where authorization requests are pushed to (RFC 9126). */
    pushed_authorization_request_endpoint?: NonNullable<Options['metadata']>['pushed_authorization_request_endpoint']
    /** Where the provider says who somebody is; needed with `login.userInfo`. */
    userinfo_endpoint?: NonNullable<Options['metadata']>['userinfo_endpoint']
    /** Where the keys are that tokens are signed with (RFC 7517). */
    jwks_uri?: NonNullable<Options['metadata']>['jwks_uri']
    /** Whether the provider takes no others. */
    require_pushed_authorization_requests?: NonNullable<Options['metadata']>['require_pushed_authorization_requests']
    /** Where the browser is sent to log out (OpenID Connect RP-Initiated Logout). */
    end_session_endpoint?: NonNullable<Options['metadata']>['end_session_endpoint']
    /** Where `tlsClientAuth` finds endpoints that ask for a certificate (RFC 8705 §5). */
    mtls_endpoint_aliases?: {
      /** In place of `token_endpoint`. */
      token_endpoint?: NonNullable<NonNullable<Options['metadata']>['mtls_endpoint_aliases']>['token_endpoint']
      /** In place of `revocation_endpoint`. */
      revocation_endpoint?: NonNullable<NonNullable<Options['metadata']>['mtls_endpoint_aliases']>['revocation_endpoint']
      /** In place of `pushed_authorization_request_endpoint`. */
      pushed_authorization_request_endpoint?: NonNullable<NonNullable<Options['metadata']>['mtls_endpoint_aliases']>['pushed_authorization_request_endpoint']
    }
    /** What id_tokens are signed with; `RS256` where it is left out. */
    id_token_signing_alg_values_supported?: NonNullable<Options['metadata']>['id_token_signing_alg_values_supported']
    /** What proofs may be signed with (RFC 9449); with it, `dpop.alg` is checked at boot. */
    dpop_signing_alg_values_supported?: NonNullable<Options['metadata']>['dpop_signing_alg_values_supported']
    /** Whether the callback must name the issuer (RFC 9207). */
    authorization_response_iss_parameter_supported?: NonNullable<Options['metadata']>['authorization_response_iss_parameter_supported']
    /** How the provider binds a code to the browser that asked for it (PKCE, RFC 7636): with `S256`, or the boot warns where nothing else does that. */
    code_challenge_methods_supported?: NonNullable<Options['metadata']>['code_challenge_methods_supported']
  }
  /** The ids of the tenants that may log in, where the issuer is Entra ID's `/common` or `/organizations`. Without it, anybody who has an account there may. */
  tenants?: Options['tenants']
  /** Origins that may be plain http, such as `http://keycloak:8080`, besides loopback (`localhost`, `*.localhost`, 127.0.0.0/8, [::1]). Tokens and secrets travel to them in clear: for development, warned of at boot. */
  allowInsecureRequests?: Options['allowInsecureRequests']
  /** The client, as registered at the provider. */
  clientId: Options['clientId']
  /** Authenticates the client with `client_secret_basic`. This or `clientAuthentication` is required. */
  clientSecret?: Options['clientSecret']
  /** How else the client authenticates: `privateKeyJwt({ key, kid })`, `tlsClientAuth({ cert, key })`… See docs/client-authentication.md. */
  clientAuthentication?: Options['clientAuthentication']
  /** Clients for tokens of the app itself, by the client credentials grant (RFC 6749 §4.4): `app.clientAccessToken('orders')`. Their names differ across registrations. */
  clients?: {
    /** What the client is asked for with, and as whom. */
    [name: string]: {
      /** What its tokens are for; default: what the provider gives it. */
      scope?: NonNullable<NonNullable<Options['clients']>[string]>['scope']
      /** The API that its tokens are for (RFC 8707): an absolute URI without a fragment. */
      resource?: NonNullable<NonNullable<Options['clients']>[string]>['resource']
      /** What else its token requests hold, such as Auth0's `audience`. */
      parameters?: NonNullable<NonNullable<Options['clients']>[string]>['parameters']
      /** Another client than the provider's own; comes with `clientSecret` or `clientAuthentication`. */
      clientId?: NonNullable<NonNullable<Options['clients']>[string]>['clientId']
      /** Authenticates that client with `client_secret_basic`. */
      clientSecret?: NonNullable<NonNullable<Options['clients']>[string]>['clientSecret']
      /** How else that client authenticates. */
      clientAuthentication?: NonNullable<NonNullable<Options['clients']>[string]>['clientAuthentication']
    }
  }
  /** The APIs that the app calls: `request.apiClient('orders').fetch('/orders')`, and `app.apiClient('orders')` where no user is needed. Their names differ across registrations. See docs/calling-apis.md. */
  apis?: {
    /** Where it is, and whose token it gets. */
    [name: string]: {
      /** Where it is: scheme, host and port, and nothing else. Its token goes nowhere else. https, or plain http as for the provider: on loopback, and where `allowInsecureRequests` lists it. */
      origin: NonNullable<NonNullable<Options['apis']>[string]>['origin']
      /** Whose token it gets: the `user`'s, the `client`'s, or `none`. `user-or-client` and `user-or-none` go by whether somebody is logged in, and never by whether a token could be had. */
      token: NonNullable<NonNullable<Options['apis']>[string]>['token']
      /** The access token for this resource (RFC 8707): an absolute URI without a fragment. */
      resource?: NonNullable<NonNullable<Options['apis']>[string]>['resource']
      /** The access token of this scope; default: the login's own, or what the client is declared with. */
      scope?: NonNullable<NonNullable<Options['apis']>[string]>['scope']
      /** Whose token it is where it is the client's: a name of `clients`. */
      client?: NonNullable<NonNullable<Options['apis']>[string]>['client']
      /** The user's token is exchanged for one that this API takes (RFC 8693); `resource` and `scope` beside it say which token of the session that is. */
      exchange?: {
        /** The name of the API at the token service, where it has no URI of its own to be the `resource`. */
        audience?: NonNullable<NonNullable<NonNullable<Options['apis']>[string]>['exchange']>['audience']
        /** The API that the issued token is for (RFC 8707): an absolute URI without a fragment. */
        resource?: NonNullable<NonNullable<NonNullable<Options['apis']>[string]>['exchange']>['resource']
        /** What the issued token is for, with spaces between. */
        scope?: NonNullable<NonNullable<NonNullable<Options['apis']>[string]>['exchange']>['scope']
        /** `requested_token_type`; default: what the service gives, which must be an access token. */
        requestedTokenType?: NonNullable<NonNullable<NonNullable<Options['apis']>[string]>['exchange']>['requestedTokenType']
        /** `subject_token_type`; default: `urn:ietf:params:oauth:token-type:access_token`. */
        subjectTokenType?: NonNullable<NonNullable<NonNullable<Options['apis']>[string]>['exchange']>['subjectTokenType']
        /** What else the service wants to know. */
        parameters?: NonNullable<NonNullable<NonNullable<Options['apis']>[string]>['exchange']>['parameters']
      }
      /** The HTTP client to this API, a Dispatcher of undici 7 or later, which the app closes. Default: an undici Agent that all APIs share, and nobody else. */
      dispatcher?: NonNullable<NonNullable<Options['apis']>[string]>['dispatcher']
    }
  }
  /** `true`, or `{ alg }` (`ES256` by default, `ES384`, `ES512`, `Ed25519`, or `EdDSA` as the older name of that): tokens are bound to a key of the session, and of no use without it (DPoP, RFC 9449). */
  dpop?: Options['dpop']
  /** What else the requests to the token service hold, always the same or by a function. What says who the client and the user are cannot be set. For the login: `login.parameters`; for clients: `clients.<name>.parameters`. */
  parameters?: {
    /** To redeem the code of a login (RFC 6749 §4.1.3). */
    code?: NonNullable<Options['parameters']>['code']
    /** To refresh (RFC 6749 §6). */
    refresh?: NonNullable<Options['parameters']>['refresh']
    /** To exchange a token (RFC 8693). */
    exchange?: NonNullable<Options['parameters']>['exchange']
    /** To revoke a token (RFC 7009). */
    revocation?: NonNullable<Options['parameters']>['revocation']
  }
  /** Headers of the app's own for all requests to the token service. */
  headers?: Options['headers']
  /** Sees each request to the token service before the client is authenticated, and may change its `parameters` and `headers`; no credentials are in them. Where it throws, nothing is sent. */
  tokenRequest?: Options['tokenRequest']
  /** Sees each answer of the token service before it is judged, **tokens included**, and gives the `status` and `body` to judge in its place: for providers that nest their tokens, or have error codes of their own. It has `requestTimeout` for that. Where it throws, the answer is not used, and only its refresh token is kept. See docs/providers.md. */
  tokenResponse?: Options['tokenResponse']
  /** The name of the provider; needed from the second registration on. Default: `'default'`. */
  name?: Options['name']
  /** The session cookie. */
  session?: {
    /** Seals the cookie: 32 bytes as Buffer, base64 or hex text, or an array of them (the first seals, all open). What seals is derived from it for one purpose each. Required, unless there is no `login`, and @fastify/session is registered before (whose store then holds the tokens, in clear without a key) or a store of your own is decorated as `app.tokenStore`. */
    key?: NonNullable<Options['session']>['key']
    /** `__Host-tokens`, and `__Host-<name>-tokens` for a named provider; without the prefix where the cookie cannot be `Secure`. */
    cookieName?: NonNullable<Options['session']>['cookieName']
    /** Attributes of the cookie. It is always HttpOnly. */
    cookie?: {
      /** Only with a `cookieName` without `__Host-`. */
      domain?: NonNullable<NonNullable<Options['session']>['cookie']>['domain']
      /** Other than `/` only with a `cookieName` without `__Host-`. Default: `'/'`. */
      path?: NonNullable<NonNullable<Options['session']>['cookie']>['path']
      /** RFC 6265bis §5.6.7. `strict` loses the session on the way back from the login page. Default: `'lax'`. */
      sameSite?: NonNullable<NonNullable<Options['session']>['cookie']>['sameSite']
      /** `true`, and `false` where `login.callbackUri` is plain http. */
      secure?: NonNullable<NonNullable<Options['session']>['cookie']>['secure']
      /** Keeps the cookies of an app that is embedded in other sites apart for each of them (CHIPS); for that, `sameSite` is `none`. Default: `false`. */
      partitioned?: NonNullable<NonNullable<Options['session']>['cookie']>['partitioned']
    }
    /** What is kept of the id_token for `request.tokens.claims()`, also where the id_token itself is too large; `sid` and `iat` are kept in any case. */
    claims?: NonNullable<Options['session']>['claims']
    /** The most that the session may take of a Cookie header, over all the cookies it is split into. A stock nginx answers 400 above 8 KB: see docs/storage.md. Default: `8000`. */
    maxCookieBytes?: NonNullable<Options['session']>['maxCookieBytes']
    /** Ends a session that was not used for so long. Default: `86400`. */
    inactivityDuration?: NonNullable<Options['session']>['inactivityDuration']
    /** Ends a session so long after its login. Default: `604800`. */
    absoluteDuration?: NonNullable<Options['session']>['absoluteDuration']
    /** The `sessionName` of the app's own @fastify/secure-session, registered before: where the app deletes that session, the tokens end with it. Default: `session`, where there is such a one. */
    endsWith?: NonNullable<Options['session']>['endsWith']
  }
  /** An access token is refreshed so many seconds before it expires, but never before half of its lifetime is over. Default: `60`. */
  refreshBeforeExpiration?: Options['refreshBeforeExpiration']
  /** When tokens are refreshed for the whole app, as the first registration says; `manual`: where `app.refreshTokens` is put on a route, or a token is asked for. Default: `'onRequest'`. */
  refresh?: Options['refresh']
  /** How long the successor of a spent refresh token is remembered after its cookie has come back. Default: `30`. */
  gracePeriod?: Options['gracePeriod']
  /** What the processes of an app share, so that a refresh token is spent once by all of them together: `redisRefreshCoordinator({ redis })` of the entry point `/redis`; see docs/scaling.md. It needs `session.key`. Default: each process knows only what it does itself. */
  coordinator?: Options['coordinator']
  /** Keeps the sessions elsewhere than in the cookie, which then holds a random id: `redisTokenStore({ redis })` of the entry point `/redis`; see docs/server-side-sessions.md. It needs `session.key`. Or decorate it as `app.tokenStore`, as a store of your own (docs/custom-store.md). Default: @fastify/session, where that is registered before; else the cookie. */
  tokenStore?: Options['tokenStore']
  /** Send a refresh again whose answer was lost. Only for a token service that takes a refresh token twice within a grace period: others revoke the session. Default: `false`. */
  retryAmbiguous?: Options['retryAmbiguous']
  /** The lifetime of an access token where neither the answer nor the token says. Without it, such a token is used until an API refuses it. */
  defaultExpiresIn?: Options['defaultExpiresIn']
  /** The HTTP client to the token service: options of an undici Agent, or a Dispatcher of the app (which the app closes). Default: the decorated `app.backchannel`, else an Agent with 10 connections. */
  backchannel?: Options['backchannel']
  /** The deadline of one call to the token service, all of it; 120 at most. Default: `10`. */
  requestTimeout?: Options['requestTimeout']
  /** How far the clocks of the provider and of this machine may be apart when an id_token is checked; 300 at most. Default: `30`. */
  clockTolerance?: Options['clockTolerance']
  /** Log in through the provider, with @fastify/oauth2. Leave it out where the app does that itself and calls `request.tokens.save()`. */
  login?: {
    /** Where the provider sends the browser back to (the `redirect_uri`); its path becomes a route. */
    callbackUri: NonNullable<Options['login']>['callbackUri']
    /** The route of the callback, where it is not the path of `callbackUri`: behind a proxy that strips a prefix from it. */
    callbackPath?: NonNullable<Options['login']>['callbackPath']
    /** What to ask for. `openid` for an id_token; many providers want `offline_access` for a refresh token. */
    scope: NonNullable<Options['login']>['scope']
    /** The APIs to ask for (RFC 8707): absolute URIs without a fragment. The login's own token is for the first of them; `request.accessToken({ resource })` gives those of the others. */
    resource?: NonNullable<Options['login']>['resource']
    /** What else the authorization request holds: `audience`, `prompt`, `acr_values`, `login_hint`… A function makes them for each request; what it takes from that is the browser's to say. */
    parameters?: NonNullable<Options['login']>['parameters']
    /** The route that sends the browser to the provider; `?returnTo=/local/path` is where it ends up. `/auth/<name>/login` for a named provider. Default: `'/auth/login'`. */
    startRedirectPath?: NonNullable<Options['login']>['startRedirectPath']
    /** `false`: logins ask for no `nonce`, for providers that leave it out of their id_tokens (LinkedIn). That gives up one of two defences against an id_token, or a code, that was taken from another login; the other is PKCE. Default: `true`. */
    nonce?: NonNullable<Options['login']>['nonce']
    /** Verify id_tokens, of logins and of refreshes, by the keys at the provider's `jwks_uri`, where its metadata has one. `false`: only the TLS connection to the provider vouches for them (OpenID Connect Core §3.1.3.7). Default: `true`. */
    verifySignature?: NonNullable<Options['login']>['verifySignature']
    /** Ask the UserInfo endpoint once at login, for providers whose id_token says little: what `session.claims` names, and the id_token does not say, is kept of it. The login goes on without where that fails, and fails where it is about somebody else. Default: `false`. */
    userInfo?: NonNullable<Options['login']>['userInfo']
    /** Push the authorization request to the provider, so that its parameters do not travel through the browser (PAR, RFC 9126). Done in any case where the provider's metadata says `require_pushed_authorization_requests`. Default: `false`. */
    pushedAuthorizationRequests?: NonNullable<Options['login']>['pushedAuthorizationRequests']
    /** `false`: the tokens are handed to `login.onTokens` and not stored. Default: `true`. */
    saveTokens?: NonNullable<Options['login']>['saveTokens']
    /** Takes the tokens where `saveTokens` is `false`. */
    onTokens?: NonNullable<Options['login']>['onTokens']
    /** Runs after a login is stored, with the claims of the id_token. May send a reply of its own, and returns it then. Fails closed: what it throws is the answer, nobody is logged in then, and what was issued is revoked. */
    onLogin?: NonNullable<Options['login']>['onLogin']
    /** Answers a login that failed, in place of the plain page for people and the JSON for programs. It sends the reply, or returns what is to be sent with the status of the error. */
    onFailed?: NonNullable<Options['login']>['onFailed']
  }
  /** The logout route; there with `login`, or when given. `false`: there is none. */
  logout?: false | {
    /** The route that logs out: POST, from a page of the app itself, by a form or by `fetch`. `/auth/<name>/logout` for a named provider. Default: `'/auth/logout'`. */
    path?: NonNullable<Options['logout']>['path']
    /** The route to which the provider posts logout tokens (OpenID Connect Back-Channel Logout); registered there as the `backchannel_logout_uri`. It needs a provider with a `jwks_uri`, and the option `coordinator` or a store that finds its sessions. See docs/login.md. */
    backchannelLogoutPath?: NonNullable<Options['logout']>['backchannelLogoutPath']
    /** Where the provider sends the browser after the logout; registered there. Default: the page of the provider, or `/` where it has no `end_session_endpoint`. */
    postLogoutRedirectUri?: NonNullable<Options['logout']>['postLogoutRedirectUri']
  }
  /** What the app's pages talk to. See docs/spa.md. */
  bff?: {
    /** The header that a page sends with each of its requests, for `app.requireCsrfHeader`; as the first registration says. Its name begins with `X-`, so that no page of another site can send it; `X-Requested-With: XMLHttpRequest` is what jQuery sends by itself. Default: `'X-CSRF: 1'`. */
    csrfHeader?: NonNullable<Options['bff']>['csrfHeader']
    /** `true`, or these: the route that tells a page who is logged in, and for how long. Without it, there is none. */
    session?: boolean | {
      /** Where it is; `/auth/<name>/session` for a named provider. Default: `'/auth/session'`. */
      path?: NonNullable<NonNullable<Options['bff']>['session']>['path']
      /** What it answers where nobody is logged in: a 401 with the `loginPath`, or a 200 with `null`. Default: `401`. */
      anonymous?: NonNullable<NonNullable<Options['bff']>['session']>['anonymous']
    }
  }
  /** Told after each refresh: provider, new tokens, duration, how many callers waited. */
  onRefreshed?: Options['onRefreshed']
  /** Told after each refresh that failed: the class of the failure, and whether it ended the session. */
  onRefreshFailed?: Options['onRefreshFailed']
  /** Told when a session ends, and why: `logout`, `refreshTokenDead`, `replaced` by a later login in the same browser, `ended` from elsewhere by `app.tokenSessions`, `backchannelLogout` by the provider, or `expired` (seen when it comes back after `session.absoluteDuration`). */
  onSessionEnded?: Options['onSessionEnded']
  /** Told when a refresh token comes back that somebody else has spent: see SECURITY.md for what that may mean. */
  onRefreshTokenReused?: Options['onRefreshTokenReused']
  /** Seconds since the epoch; replaced in tests. Default: `the system's`. */
  clock?: Options['clock']
}
