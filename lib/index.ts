import '../types/fastify.ts'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { TokenManagementOptions } from '../types/options.ts'
import { csrfCheckOf } from './bff/csrf.ts'
import { sessionEndpoint } from './bff/session.ts'
import { decorateClients } from './cached-tokens/client-tokens.ts'
import { isTokenError } from './errors.ts'
import { backchannelLogout } from './login/backchannel-logout.ts'
import { login } from './login/login.ts'
import { logout } from './login/logout.ts'
import { loginsOf } from './login/start-login.ts'
import { checkOptions } from './options/check.ts'
import { pathsOf } from './options/paths.ts'
import { decorateApp } from './outbound/decorate-app.ts'
import { buildProvider, hasRegistry, registryOf } from './provider.ts'
import { checkRoutes } from './request/check-routes.ts'
import { decorateApiClients } from './request/decorate-api-clients.ts'
import { decorateRequests } from './request/decorate-requests.ts'
import { guardRoutes, refreshTokens, requireAccessToken } from './request/hooks.ts'
import { refuseOutOfReach } from './request/out-of-reach.ts'
import { decorateTokenSessions } from './request/token-sessions.ts'
import { hasSecureSession, warnOfLateSession } from './stores/late-session.ts'
import { hasServerSession } from './stores/own-store.ts'
import { decoratedBy } from './stores/store-registry.ts'
import { admitTests } from './testing/entrance.ts'
import { clientAssertion, clientSecretJwt, privateKeyJwt } from './token-service/client-assertion.ts'
import { clientSecretBasic, clientSecretPost, none, tlsClientAuth } from './token-service/client-authentication.ts'

async function plugin (fastify: FastifyInstance, given: TokenManagementOptions): Promise<void> {
  const registry = registryOf(fastify)
  const { providers, clients, apis } = registry
  const surroundings = {
    prefix: fastify.prefix,
    session: hasServerSession(fastify),
    secureSession: hasSecureSession(fastify),
    onRequest: (name: string) => fastify.hasRequestDecorator(name),
    tokenStore: decoratedBy(fastify, registry),
    names: [...providers.keys()],
    clients: [...clients.keys()],
    apis: [...apis.keys()]
  }
  const options = checkOptions(given, surroundings)
  const provider = await buildProvider(fastify, options, registry)

  if (providers.size === 1) {
    decorateRequests(fastify, providers)
    decorateTokenSessions(fastify, providers)
    decorateClients(fastify, clients)
    checkRoutes(fastify, providers)
    refuseOutOfReach(fastify, hasRegistry)
    warnOfLateSession(fastify, surroundings, options.tokenStore !== undefined || surroundings.tokenStore !== 'nobody')
    fastify.decorate('refreshTokens', refreshTokens)
    fastify.decorate('requireAccessToken', requireAccessToken)
    if (options.refresh === 'manual') fastify.addHook('onRequest', guardRoutes)
    else fastify.addHook(options.refresh, refreshTokens)
  }
  admitTests(fastify, options, provider.tokenService.metadata.issuer)
  if (apis.size > 0 && !fastify.hasDecorator('apiClient')) {
    decorateApp(fastify, apis)
    decorateApiClients(fastify, apis)
  }
  const checkCsrf = csrfCheckOf(fastify, options.bff, providers)
  const logins = loginsOf(fastify)
  const paths = pathsOf(options, fastify.prefix)
  if (options.login) await fastify.register(login, { ...options, provider, paths, login: options.login, logins })
  if (options.logout) await fastify.register(logout, { ...options, provider, paths, logout: options.logout })
  if (options.logout?.backchannelLogoutPath) await fastify.register(backchannelLogout, { provider, path: options.logout.backchannelLogoutPath })
  if (options.bff.session) await fastify.register(sessionEndpoint, { ...options, provider, paths, endpoint: options.bff.session, checkCsrf })
}

/**
 * Access tokens that are always current, for the backend-for-frontend pattern.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS, FST_TOKEN_DISCOVERY_FAILED at boot.
 * @example
 * await app.register(tokenManagement, {
 *   issuer: 'https://idp.example.com',
 *   clientId: 'web',
 *   clientSecret: process.env.CLIENT_SECRET,
 *   session: { key: process.env.SESSION_KEY },
 *   login: { callbackUri: 'https://app.example.com/auth/callback', scope: ['openid', 'offline_access'] }
 * })
 * app.get('/orders', { config: { tokens: { required: true } } }, async (request) => {
 *   const token = await request.accessToken()
 * })
 */
const tokenManagement = fp(plugin, { name: 'fastify-token-management', fastify: '5.x' })

// The plugin. `require()` gives it with everything else on it.
const authentications = { clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, none, privateKeyJwt, tlsClientAuth }
const commonjs = Object.assign(tokenManagement, { default: tokenManagement, tokenManagement, isTokenError, ...authentications })
export { commonjs as 'module.exports', tokenManagement, tokenManagement as default }
export type { TokenManagementOptions } from '../types/options.ts'

// How the client authenticates.
export { clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, none, privateKeyJwt, tlsClientAuth }
export type { AssertionOptions, PrivateKeyJwtOptions } from './token-service/client-assertion.ts'
export type { ClientAuthentication } from './token-service/client-authentication.ts'
export type { ClientCertificate } from './token-service/client-certificate.ts'
export type { Current } from './token-service/current.ts'
export type { PrivateKey } from './token-service/private-key.ts'

// What requests, replies and the app are asked for.
export type { ApiClient } from './outbound/api-client.ts'
export type { StartLoginParameters } from './login/start-login.ts'
export type { ApiName, ClientName } from './outbound/names.ts'
export type { ClientDpopProofParameters, ClientTokenParameters } from './cached-tokens/client-tokens.ts'
export type { AccessTokenParameters, DpopProofParameters, OAuth2Token, SaveParameters, SessionParameters, TokenParameters, Tokens } from './request/tokens.ts'
export type { TokenSession, TokenSessions, TokenSessionsParameters } from './request/token-sessions.ts'
export type { TokenExchange } from './tokens/token-exchange.ts'
export type { TokenWish } from './tokens/token-wish.ts'

// What they throw.
export { isTokenError }
export type { TokenError, TokenErrorCode, UnauthenticatedError } from './errors.ts'

// What is stored, and where.
export type { SessionDirectory, StoreContext, TokenStore } from './tokens/token-store.ts'
export type { SessionQuery } from './tokens/session-query.ts'
export type { IdTokenClaims } from './tokens/claims.ts'
export type { TokenResponse } from './tokens/from-response.ts'
export type { AccessToken, JsonWebKey, TokenSet } from './tokens/token-set.ts'

// What the app is told, and may have a say in.
export type { FailureClass, RefreshedEvent, RefreshFailedEvent, RefreshTokenReusedEvent, SessionEndedEvent, SessionEndReason } from './tokens/events.ts'
export type { EditableRequest, MendedAnswer, OutgoingRequest, ProviderAnswer } from './tokens/outgoing-request.ts'

// What subscribers of node:diagnostics_channel get: see docs/telemetry.md.
export type { ApiMessage } from './outbound/api-message.ts'
export type { ClientTokenMessage } from './cached-tokens/client-token-message.ts'
export type { ExchangeMessage } from './cached-tokens/exchange-message.ts'
export type { LoginMessage, LoginOutcome } from './login/login-message.ts'
export type { LogoutMessage } from './login/logout-message.ts'
export type { RefreshMessage, RefreshOutcome } from './refresh/refresh-message.ts'
