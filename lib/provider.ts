import type { FastifyInstance } from 'fastify'
import type { Dispatcher } from 'undici'
import { ClientTokens } from './cached-tokens/client-tokens.ts'
import { Exchanger } from './cached-tokens/exchanger.ts'
import { TokenCache } from './cached-tokens/token-cache.ts'
import type { Registration } from './diagnostics.ts'
import { UnknownProvider } from './errors.ts'
import type { CheckedOptions } from './options/check.ts'
import { pathsOf } from './options/paths.ts'
import { type Api, buildApis } from './outbound/api.ts'
import { Asking } from './refresh/asking.ts'
import { Background } from './refresh/background.ts'
import { memoryRefreshCoordinator, type RefreshCoordinator } from './refresh/coordinator.ts'
import { Outages } from './refresh/outages.ts'
import { Pauses } from './refresh/pauses.ts'
import { RefreshEvents } from './refresh/refresh-events.ts'
import { Refresher } from './refresh/refresher.ts'
import { Sharing } from './refresh/sharing.ts'
import { Spender } from './refresh/spender.ts'
import { Overflow } from './stores/overflow.ts'
import { ReplacedSessions } from './stores/replaced-sessions.ts'
import { decorateTokenStore, type StoreRegistry, storeRegistry } from './stores/store-registry.ts'
import type { TokenStore } from './tokens/token-store.ts'
import { type ClientAuthentication, clientAuthenticationOf, warnIfUnlisted } from './token-service/client-authentication.ts'
import { decorateBackchannel, forProbes } from './token-service/decorate-backchannel.ts'
import { checkAlgorithm } from './token-service/dpop.ts'
import { LoginRequests } from './token-service/login-requests.ts'
import { LogoutTokens } from './token-service/logout-token.ts'
import { metadataOf } from './token-service/metadata.ts'
import { answersAtAll } from './token-service/probe.ts'
import { ProviderRequests } from './token-service/provider-requests.ts'
import { turnsFor } from './token-service/turns.ts'
import { TokenService } from './token-service/token-service.ts'
import type { SessionEndedEvent } from './tokens/events.ts'
import { readWish } from './tokens/token-wish.ts'

/** What one registration has built: everything that serves its provider. */
export interface Provider {
  readonly name: string
  /** What messages say of it. */
  readonly registration: Registration
  readonly tokenService: TokenService
  readonly loginRequests: LoginRequests
  readonly logoutTokens: LogoutTokens
  readonly coordinator: RefreshCoordinator
  /** What is done in turn with the other processes of the app. */
  readonly sharing: Sharing
  /** What goes on behind the requests that began it. */
  readonly background: Background
  readonly refresher: Refresher
  readonly exchanger: Exchanger
  /** What finds no room in the store. */
  readonly overflow: Overflow
  /** The store in force for a route of this instance. */
  readonly storeFor: (server: FastifyInstance) => TokenStore
  /** The HTTP client in force for a route of this instance. */
  readonly backchannelFor: (server: FastifyInstance) => Dispatcher
  /** Sessions that a later login of the same person has taken the place of. */
  readonly replaced: ReplacedSessions
  /** Where a browser logs in, as it sees it; `undefined` without `login`. */
  readonly loginPath: string | undefined
  /** The origin of its callback, which is the app's own; `undefined` without `login`. */
  readonly callbackOrigin: string | undefined
  readonly clock: () => number
  readonly onSessionEnded?: ((event: SessionEndedEvent) => unknown) | undefined
}

/** What the registrations of one context share. */
export interface Registry extends StoreRegistry {
  readonly providers: Map<string, Provider>
  /** The clients of all registrations, by name. */
  readonly clients: Map<string, ClientTokens>
  /** The APIs of all registrations, by name. */
  readonly apis: Map<string, Api>
}

const kRegistry = Symbol('fastify-token-management.registry')

/** Whether the plugin is registered in a context, or in one around it. */
export function hasRegistry (fastify: FastifyInstance): boolean {
  return fastify.hasDecorator(kRegistry)
}

export function registryOf (fastify: FastifyInstance): Registry {
  if (!hasRegistry(fastify)) fastify.decorate(kRegistry, { providers: new Map(), clients: new Map(), apis: new Map(), ...storeRegistry() })
  return fastify.getDecorator<Registry>(kRegistry)
}

/**
 * One of several; without a name, the first.
 *
 * @throws FST_TOKEN_UNKNOWN_PROVIDER
 */
export function providerNamed (providers: ReadonlyMap<string, Provider>, name: string | undefined): Provider {
  const provider = name === undefined ? providers.values().next().value : providers.get(name)
  if (provider === undefined) throw new UnknownProvider(String(name ?? 'default'), [...providers.keys()].join(', '))
  return provider
}

/**
 * Builds all that serves one provider, and the clients and APIs that its options declare, and enters them into the registry.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS, FST_TOKEN_DISCOVERY_FAILED
 */
export async function buildProvider (fastify: FastifyInstance, options: CheckedOptions, registry: Registry): Promise<Provider> {
  const { name, clientId, clock } = options
  const registration = { provider: name, clientId }
  const { log } = fastify
  const clientAuthentication = clientAuthenticationOf(options)
  const dispatcher = decorateBackchannel(fastify, options.backchannel, clientAuthentication)
  const metadata = await metadataOf(options, dispatcher, fastify)
  const requestsOf = (clientId: string, clientAuthentication: ClientAuthentication) => {
    warnIfUnlisted(clientAuthentication, metadata(), clientId, log)
    return new ProviderRequests({ ...options, metadata, clientId, clientAuthentication, log })
  }
  const requests = requestsOf(clientId, clientAuthentication)
  const tokenService = new TokenService(requests, options)
  if (options.dpop !== undefined) checkAlgorithm(options.dpop.alg, tokenService.metadata)
  await decorateTokenStore(fastify, options, registry)
  const { tokenStore } = fastify
  const store = registry.stores.get(name)

  const coordinator = memoryRefreshCoordinator(options.gracePeriod, options.session.inactivityDuration, clock)
  const probe = (dispatcher: Dispatcher) => answersAtAll(requests.tokenEndpoint, forProbes(dispatcher))
  const asking = new Asking(probe, new Outages(() => requests.tokenEndpoint, clock, log), clock)
  const pauses = new Pauses({ ...options, grants: () => requests.grants })
  const background = new Background()
  const events = new RefreshEvents({ ...options, provider: name, log })
  const replaced = new ReplacedSessions(options.gracePeriod, clock)
  const sharing = new Sharing({ ...options, memory: coordinator, replaced, findsLogins: options.logout?.backchannelLogoutPath !== undefined && (store ?? tokenStore).directory === undefined, log })
  const spender = new Spender({ ...options, registration, tokenService, coordinator, sharing, asking, pauses, background, events, log })
  const cache = new TokenCache({ ...options, pauses, log })
  // An encapsulated context may have an HTTP client, and a store, of its own; otherwise they are the provider's.
  const { backchannel } = fastify
  const backchannelFor = (own: Dispatcher) => (server: FastifyInstance) => server.backchannel === backchannel ? own : server.backchannel
  for (const [name, { scope, resource, parameters, clientId: ownId, ...how }] of Object.entries(options.clients)) {
    const own = ownId === undefined ? clientAuthentication : clientAuthenticationOf(how)
    // A certificate is presented for the client that it is of, and for no other.
    const isShared = own.mutualTls === clientAuthentication.mutualTls
    registry.clients.set(name, new ClientTokens({
      name,
      registration: { ...registration, clientId: ownId ?? clientId },
      wish: readWish({ resource, scope: scope?.join(' ') }),
      parameters,
      tokenService: ownId === undefined ? tokenService : new TokenService(requestsOf(ownId, own), options),
      asking,
      cache,
      backchannelFor: backchannelFor(isShared ? dispatcher : decorateBackchannel(fastify, options.backchannel, own))
    }))
  }
  for (const api of buildApis(fastify, options, registry.clients)) registry.apis.set(api.name, api)
  const provider: Provider = {
    name,
    registration,
    clock,
    onSessionEnded: options.onSessionEnded,
    tokenService,
    loginRequests: new LoginRequests(requests, options.tenants, turnsFor(options)),
    logoutTokens: new LogoutTokens(requests, options),
    replaced,
    loginPath: pathsOf(options, fastify.prefix).login,
    callbackOrigin: options.login && new URL(options.login.callbackUri).origin,
    coordinator,
    sharing,
    background,
    refresher: new Refresher(coordinator, spender, events, options),
    exchanger: new Exchanger(registration, tokenService, coordinator, asking, cache),
    overflow: new Overflow(clock, log),
    storeFor: (server) => server.tokenStore === tokenStore ? store ?? tokenStore : server.tokenStore,
    backchannelFor: backchannelFor(dispatcher)
  }
  registry.providers.set(name, provider)
  fastify.addHook('onClose', async () => {
    await background.settled()
    await sharing.close()
  })
  return provider
}
