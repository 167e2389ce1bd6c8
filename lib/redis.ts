import { InvalidOptions } from './errors.ts'
import type { RedisClient } from './redis/client.ts'
import type { AvailabilityEvent } from './redis/link.ts'
import { makeRedisTokenStore } from './redis/redis-token-store.ts'
import { RedisSharedCoordinator } from './redis/shared-coordinator.ts'
import { storeByProvider } from './stores/store-by-provider.ts'
import type { SharedCoordinatorFactory } from './tokens/shared-coordinator.ts'
import type { TokenStore, TokenStoreFactory } from './tokens/token-store.ts'

/** Seconds: a claim lapses a second later. */
const LONGEST_TIMEOUT = 2

/** Seconds: nobody waits longer for a session. */
const LONGEST_WAIT = 10

/** How the processes of an app share what they know of refresh tokens. */
export interface RedisRefreshCoordinatorOptions {
  /** A client of ioredis: what `new Redis()`, `new Cluster()` or @fastify/redis's `app.redis` is. It stays the app's own, to close as well. */
  readonly redis: RedisClient
  /** Seconds that an answer of Redis is waited for, two at most; then this process goes on alone. Default: 0.25. */
  readonly timeout?: number
  /** Told when Redis no longer answers, and when it does again. */
  readonly onAvailability?: (event: AvailabilityEvent) => unknown
}

/**
 * Sees to it that a refresh token is spent once by all processes of an app together, and that a logout in one is known in all:
 * for the option `coordinator`. A request whose token is good costs no command. See docs/scaling.md.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS
 * @example
 * await app.register(redis, { url: process.env.REDIS_URL }) // @fastify/redis
 * await app.register(tokenManagement, {
 *   ...options,
 *   coordinator: redisRefreshCoordinator({ redis: app.redis })
 * })
 */
export function redisRefreshCoordinator ({ redis, timeout = 0.25, onAvailability }: RedisRefreshCoordinatorOptions): SharedCoordinatorFactory {
  if (!(timeout > 0 && timeout <= LONGEST_TIMEOUT)) throw new InvalidOptions(`redisRefreshCoordinator: timeout must be more than 0 and at most ${LONGEST_TIMEOUT} seconds`)
  return (settings) => new RedisSharedCoordinator(settings, { redis, timeout, onAvailability })
}

/** Where sessions are kept on Redis. */
export interface RedisTokenStoreOptions {
  /** A client of ioredis, as for `redisRefreshCoordinator`; it may be the same. */
  readonly redis: RedisClient
  /** Seconds that an answer of Redis is waited for, ten at most; then the request is answered 503. Default: 1. */
  readonly timeout?: number
  /** Told when Redis no longer answers, and when it does again. */
  readonly onAvailability?: (event: AvailabilityEvent) => unknown
}

/**
 * Keeps sessions on Redis, sealed, and a random id in the cookie: for the option `tokenStore`, or `app.decorate('tokenStore', …)` before
 * the plugin is registered. Sessions can be of any size, be refreshed after the headers are sent, and be read and ended without a
 * request (`app.tokenSessions`). It costs one command per request that asks for a token. See docs/server-side-sessions.md.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS
 * @example
 * await app.register(tokenManagement, {
 *   ...options,
 *   tokenStore: redisTokenStore({ redis: app.redis }),
 *   coordinator: redisRefreshCoordinator({ redis: app.redis })
 * })
 */
export function redisTokenStore ({ redis, timeout = 1, onAvailability }: RedisTokenStoreOptions): TokenStoreFactory & TokenStore {
  if (!(timeout > 0 && timeout <= LONGEST_WAIT)) throw new InvalidOptions(`redisTokenStore: timeout must be more than 0 and at most ${LONGEST_WAIT} seconds`)
  const stores = new Map<string, TokenStore>()
  const make: TokenStoreFactory = (settings) => {
    const store = makeRedisTokenStore(settings, { redis, timeout, onAvailability })
    stores.set(settings.name, store)
    return store
  }
  // Decorated as `app.tokenStore`, it is the stores that it has made.
  return Object.assign(make, storeByProvider(stores))
}

export type { AvailabilityEvent, RedisClient, SharedCoordinatorFactory, TokenStoreFactory }
export type { RedisSubscriber } from './redis/client.ts'
export type { SharedCoordinator, SharedCoordinatorSettings } from './tokens/shared-coordinator.ts'
export type { MadeTokenStore, TokenStoreSettings } from './tokens/token-store.ts'
export type { IndexedLogin, SharedLogouts } from './tokens/shared-logouts.ts'
