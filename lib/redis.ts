import { InvalidOptions } from './errors.ts'
import type { RedisClient } from './redis/client.ts'
import type { AvailabilityEvent } from './redis/link.ts'
import { RedisSharedCoordinator } from './redis/shared-coordinator.ts'
import type { SharedCoordinatorFactory } from './tokens/shared-coordinator.ts'

/** Seconds: a claim lapses a second later. */
const LONGEST_TIMEOUT = 2

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

export type { AvailabilityEvent, RedisClient, SharedCoordinatorFactory }
export type { RedisSubscriber } from './redis/client.ts'
export type { SharedCoordinator, SharedCoordinatorSettings } from './tokens/shared-coordinator.ts'
