import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { TokenBackOff } from '../refresh/back-off.ts'
import { classifyFailure, isAnswer, type RefreshFailure } from '../refresh/failure.ts'
import type { AccessToken } from '../tokens/token-set.ts'
import { isExpired, needsRefresh } from '../tokens/lifetime.ts'

/** Bound of what is kept: some eight thousand tokens. */
const MEMORY_BYTES = 8 * 1_048_576

export interface TokenCacheSettings {
  readonly refreshBeforeExpiration: number
  readonly clock: () => number
  readonly log: FastifyBaseLogger
}

/** Access tokens of no token set, in memory: kept until it is time for a new one, and asked for by one caller at a time. */
export class TokenCache {
  readonly #settings: TokenCacheSettings
  readonly #kept = new LRUCache<string, AccessToken>({ maxSize: MEMORY_BYTES, sizeCalculation: (token, key) => key.length + JSON.stringify(token).length })
  readonly #asking = new Map<string, Promise<AccessToken>>()
  readonly #refused: TokenBackOff

  constructor (settings: TokenCacheSettings) {
    this.#settings = settings
    // No grace period ever ends: what is refused now may be granted later.
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

  async #ask (key: string, ask: () => Promise<AccessToken>): Promise<AccessToken> {
    this.#refused.enter(key)
    try {
      const token = await ask()
      this.#refused.succeeded(key)
      this.#kept.set(key, token)
      return token
    } catch (error) {
      throw this.#remember(key, classifyFailure(error))
    }
  }

  /** A refusal is remembered for the one key, so that it is not asked for again at once; an outage for the service, elsewhere. */
  #remember (key: string, failure: RefreshFailure): RefreshFailure {
    if (!isAnswer(failure.class) || failure.endsSession || failure.class === 'unavailable') return failure
    if (failure.class === 'refused') this.#settings.log.error({ err: failure }, 'The token service refuses the request of this app: check the client registration and the options')
    return this.#refused.failed(key, failure)
  }
}
