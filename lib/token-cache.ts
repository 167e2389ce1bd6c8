import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { type ServiceBackOff, TokenBackOff } from './refresh/back-off.ts'
import { classifyFailure, RefreshFailure } from './refresh/failure.ts'
import { askPatiently } from './refresh/retry.ts'
import { type AccessToken, isExpired, needsRefresh } from './token-set.ts'

/** Bound of what is kept: some eight thousand tokens. */
const MEMORY_BYTES = 8 * 1_048_576

export interface TokenCacheSettings {
  /** The back-off of the token service that all requests to it share. */
  readonly service: ServiceBackOff
  readonly refreshBeforeExpiration: number
  readonly clock: () => number
  readonly log: FastifyBaseLogger
}

/** Access tokens that cost nothing but a request: kept in memory until it is time for a new one, and asked for by one at a time. */
export class TokenCache {
  readonly #settings: TokenCacheSettings
  readonly #kept = new LRUCache<string, AccessToken>({ maxSize: MEMORY_BYTES, sizeCalculation: (token, key) => key.length + JSON.stringify(token).length })
  readonly #asking = new Map<string, Promise<AccessToken>>()
  readonly #refused: TokenBackOff

  constructor (settings: TokenCacheSettings) {
    this.#settings = settings
    // Without end: nothing here is ever dead for good.
    this.#refused = new TokenBackOff(Infinity, settings.clock)
  }

  /**
   * The token under a key, or what asking for a new one brings. A token that is still valid outlives a failure.
   *
   * @param key - holds everything that changes the token.
   * @param forceRenewal - `true`: a new token. A token: a new one if that is still the one that is kept.
   * @throws RefreshFailure
   */
  async obtain (key: string, forceRenewal: boolean | string | undefined, ask: () => Promise<AccessToken>): Promise<AccessToken> {
    const { refreshBeforeExpiration, clock } = this.#settings
    const kept = this.#kept.get(key)
    const serves = kept !== undefined && forceRenewal !== true && forceRenewal !== kept.accessToken
    if (serves && !needsRefresh(kept, clock(), refreshBeforeExpiration)) return kept
    try {
      return await (this.#asking.get(key) ?? this.#start(key, ask))
    } catch (error) {
      if (serves && !isExpired(kept, clock())) return kept
      throw error
    }
  }

  /** Drops all tokens whose key starts like this. */
  forget (prefix: string): void {
    for (const key of [...this.#kept.keys()]) if (key.startsWith(prefix)) this.#kept.delete(key)
  }

  #start (key: string, ask: () => Promise<AccessToken>): Promise<AccessToken> {
    const asking = this.#ask(key, ask).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }

  /** Nothing is spent by asking, so that a request whose answer was lost may be sent again (R19). */
  async #ask (key: string, ask: () => Promise<AccessToken>): Promise<AccessToken> {
    const { service } = this.#settings
    this.#refused.enter(key)
    service.enter()
    try {
      const token = await askPatiently(ask, true)
      service.answered()
      this.#refused.succeeded(key)
      this.#kept.set(key, token)
      return token
    } catch (error) {
      throw this.#remember(key, harmless(classifyFailure(error)))
    }
  }

  /** Outages are remembered for the service, refusals for the one key. */
  #remember (key: string, failure: RefreshFailure): RefreshFailure {
    const { service, log } = this.#settings
    if (failure.class === 'unavailable' || failure.class === 'ambiguous') {
      service.failed(failure.retryAfter)
      return failure
    }
    service.answered()
    if (failure.class === 'refused') log.error({ err: failure }, 'The token service refuses the request of this app: check the client registration and the options')
    return this.#refused.failed(key, failure)
  }
}

/** No session ends here: `invalid_grant` is about what was presented this time, and an id_token that came along is nobody's. */
function harmless (failure: RefreshFailure): RefreshFailure {
  const { cause } = failure
  if (failure.class === 'ended') return new RefreshFailure('refused', { cause })
  return failure.class === 'wrongIdentity' ? new RefreshFailure('badResponse', { cause }) : failure
}
