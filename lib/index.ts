import '../types/fastify.ts'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Dispatcher } from 'undici'
import { decorateRequests } from './request/accessor.ts'
import { ClientTokens, decorateClients } from './cached-tokens/client-tokens.ts'
import { decorateBackchannel } from './token-service/decorate-backchannel.ts'
import { Exchanger } from './cached-tokens/exchanger.ts'
import { refreshTokens, requireAccessToken } from './request/hooks.ts'
import { login } from './login/login.ts'
import { logout } from './login/logout.ts'
import { type CheckedOptions, checkOptions } from './options/check.ts'
import type { TokenManagementOptions } from '../types/options.ts'
import type { Provider } from './provider.ts'
import { ServiceBackOff } from './refresh/back-off.ts'
import { memoryRefreshCoordinator } from './refresh/coordinator.ts'
import { Refresher } from './refresh/refresher.ts'
import { Spender } from './refresh/spender.ts'
import { hasServerSession, ownStore } from './stores/own-store.ts'
import { storeByProvider, type TokenStore } from './stores/token-store.ts'
import { TokenCache } from './cached-tokens/token-cache.ts'
import { callBackchannel } from './token-service/backchannel.ts'
import { clientAssertion, clientSecretJwt, privateKeyJwt } from './token-service/client-assertion.ts'
import { type ClientAuthentication, clientAuthenticationOf, clientSecretBasic, clientSecretPost, none, tlsClientAuth, warnIfUnlisted } from './token-service/client-authentication.ts'
import { checkAlgorithm } from './token-service/dpop.ts'
import { discoverMetadata, type Metadata } from './token-service/metadata.ts'
import { TokenService } from './token-service/token-service.ts'
import { readWish } from './tokens/token-wish.ts'

export type { AccessTokenParameters, DpopProofParameters, OAuth2Token, SaveParameters, SessionParameters, TokenParameters, Tokens } from './request/accessor.ts'
export type { ClientDpopProofParameters, ClientTokenParameters } from './cached-tokens/client-tokens.ts'
export type { FailureClass, RefreshedEvent, RefreshFailedEvent, SessionEndedEvent } from './tokens/events.ts'
export type { EditableRequest, OutgoingRequest } from './tokens/outgoing-request.ts'
export type { TokenManagementOptions } from '../types/options.ts'
export type { StoreContext, TokenStore } from './stores/token-store.ts'
export type { AssertionOptions, PrivateKeyJwtOptions } from './token-service/client-assertion.ts'
export type { ClientAuthentication } from './token-service/client-authentication.ts'
export type { ClientCertificate } from './token-service/client-certificate.ts'
export type { Current } from './token-service/current.ts'
export type { PrivateKey } from './token-service/private-key.ts'
export type { AccessToken, JsonWebKey, TokenResponse, TokenSet } from './tokens/token-set.ts'
export type { TokenExchange } from './tokens/token-exchange.ts'
export type { TokenWish } from './tokens/token-wish.ts'

/** What the registrations of one context share. */
interface Registry {
  readonly providers: Map<string, Provider>
  /** The stores of our own by provider, and all of them as one: for where the app brings none. */
  readonly stores: Map<string, TokenStore>
  readonly store: TokenStore
  /** The clients of all registrations, by name. */
  readonly clients: Map<string, ClientTokens>
}

const kRegistry = Symbol('fastify-token-management.registry')

async function plugin (fastify: FastifyInstance, given: TokenManagementOptions): Promise<void> {
  const registry = registryOf(fastify)
  const options = checkOptions(given, {
    session: hasServerSession(fastify),
    secureSession: fastify.hasDecorator('encodeSecureSession'),
    onRequest: (name) => fastify.hasRequestDecorator(name),
    tokenStore: isStoreOfApp(fastify, registry),
    names: [...registry.providers.keys()],
    clients: [...registry.clients.keys()]
  })
  const { name, clientId, clock } = options

  const clientAuthentication = clientAuthenticationOf(options)
  const dispatcher = decorateBackchannel(fastify, options.backchannel, clientAuthentication)
  const metadata = await metadataOf(options, dispatcher, fastify)
  const tokenServiceOf = (clientId: string, clientAuthentication: ClientAuthentication) => {
    warnIfUnlisted(clientAuthentication, metadata(), clientId, fastify.log)
    return new TokenService({ ...options, metadata, clientId, clientAuthentication })
  }
  const tokenService = tokenServiceOf(clientId, clientAuthentication)
  if (options.dpop !== undefined) checkAlgorithm(options.dpop.alg, tokenService.metadata)
  await decorateTokenStore(fastify, options, registry)

  const coordinator = memoryRefreshCoordinator(options.graceSeconds, clock)
  const service = new ServiceBackOff(clock)
  const spender = new Spender({ ...options, provider: name, tokenService, coordinator, service, log: fastify.log })
  const refresher = new Refresher(coordinator, spender, options.refreshBeforeExpiration, clock)
  const cache = new TokenCache({ ...options, log: fastify.log })
  // An encapsulated context may have an HTTP client of its own; otherwise it is the provider's.
  const { backchannel } = fastify
  const backchannelFor = (own: Dispatcher) => (server: FastifyInstance) => server.backchannel === backchannel ? own : server.backchannel
  const store = registry.stores.get(name)
  const provider: Provider = {
    name,
    clock,
    onSessionEnded: options.onSessionEnded,
    tokenService,
    coordinator,
    refresher,
    exchanger: new Exchanger(tokenService, coordinator, service, cache),
    storeFor: ({ tokenStore }) => tokenStore === registry.store ? store ?? tokenStore : tokenStore,
    backchannelFor: backchannelFor(dispatcher)
  }
  registry.providers.set(name, provider)
  for (const [name, { scope, resource, parameters, clientId: ownId, ...how }] of Object.entries(options.clients)) {
    const own = ownId === undefined ? clientAuthentication : clientAuthenticationOf(how)
    // A certificate is presented for the client that it is of, and for no other.
    const isShared = own.mutualTls === clientAuthentication.mutualTls
    registry.clients.set(name, new ClientTokens({
      name,
      wish: readWish({ resource, scope: scope?.join(' ') }),
      parameters,
      tokenService: ownId === undefined ? tokenService : tokenServiceOf(ownId, own),
      service,
      cache,
      backchannelFor: backchannelFor(isShared ? dispatcher : decorateBackchannel(fastify, options.backchannel, own))
    }))
  }

  if (registry.providers.size === 1) {
    decorateRequests(fastify, registry.providers)
    decorateClients(fastify, registry.clients)
    fastify.decorate('refreshTokens', refreshTokens)
    fastify.decorate('requireAccessToken', requireAccessToken)
    if (options.refresh !== 'manual') fastify.addHook(options.refresh, refreshTokens)
  }
  if (options.login) await fastify.register(login, { ...options, provider, login: options.login })
  if (options.logout) await fastify.register(logout, { provider, clientId, logout: options.logout })
}

function registryOf (fastify: FastifyInstance): Registry {
  if (!fastify.hasDecorator(kRegistry)) {
    const stores = new Map<string, TokenStore>()
    fastify.decorate(kRegistry, { providers: new Map(), stores, store: storeByProvider(stores), clients: new Map() })
  }
  return fastify.getDecorator<Registry>(kRegistry)
}

async function metadataOf ({ issuer = '', metadata, requestTimeout, clock }: CheckedOptions, dispatcher: Dispatcher, { log }: FastifyInstance): Promise<Metadata> {
  if (metadata !== undefined) return () => metadata
  return await discoverMetadata(issuer, (url, request) => callBackchannel(dispatcher, requestTimeout, url, request), clock, log)
}

/** The app's store, or one of our own for each provider. */
async function decorateTokenStore (fastify: FastifyInstance, options: CheckedOptions, registry: Registry): Promise<void> {
  if (isStoreOfApp(fastify, registry)) return
  if (!fastify.hasDecorator('tokenStore')) fastify.decorate('tokenStore', registry.store)
  registry.stores.set(options.name, await ownStore(fastify, options))
}

function isStoreOfApp (fastify: FastifyInstance, { store }: Registry): boolean {
  return fastify.hasDecorator('tokenStore') && fastify.tokenStore !== store
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
 * app.get('/orders', { onRequest: app.requireAccessToken }, async (request) => {
 *   const token = await request.accessToken()
 * })
 */
const tokenManagement = fp(plugin, { name: 'fastify-token-management', fastify: '5.x' })

const authentications = { clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, none, privateKeyJwt, tlsClientAuth }

/** What `require()` gives: the plugin, with everything else on it. */
const commonjs = Object.assign(tokenManagement, { default: tokenManagement, tokenManagement, ...authentications })

export {
  commonjs as 'module.exports', tokenManagement, tokenManagement as default,
  clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, none, privateKeyJwt, tlsClientAuth
}
