import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { hasCode } from '../errors.ts'
import { classifyFailure, ofWish, RefreshFailure } from '../refresh/failure.ts'
import { detailsOf } from '../refresh/outages.ts'
import { takesLong } from '../refresh/patience.ts'
import type { Pauses } from '../refresh/pauses.ts'
import { isExpired, needsRefresh } from '../tokens/lifetime.ts'
import type { AccessToken } from '../tokens/token-set.ts'

/** Bound of what is kept: some eight thousand tokens. */
const MEMORY_BYTES = 8 * 1_048_576

export interface TokenCacheSettings {
  readonly refreshBeforeExpiration: number
  readonly pauses: Pauses
  readonly clock: () => number
  readonly log: FastifyBaseLogger
}

/** How a token is had that is not kept. */
export interface TokenQuestion {
  readonly ask: () => Promise<AccessToken>
  /** Tells of it from its start to its end. */
  readonly trace: (work: () => Promise<AccessToken>) => Promise<AccessToken>
}

/** Access tokens of no token set, in memory: kept until it is time for a new one, and asked for by one caller at a time. */
export class TokenCache {
  readonly #settings: TokenCacheSettings
  readonly #kept = new LRUCache<string, AccessToken>({ maxSize: MEMORY_BYTES, sizeCalculation: (token, key) => key.length + JSON.stringify(token).length })
  readonly #asking = new Map<string, { readonly coming: Promise<AccessToken>, readonly since: number }>()

  constructor (settings: TokenCacheSettings) {
    this.#settings = settings
  }

  /**
   * The token under a key, or what asking for a new one brings. A token that is still valid outlives a failure, and nobody
   * who has one waits long.
   *
   * @param key - holds everything that changes the token.
   * @param forceRenewal - `true`: a new token. A token: a new one if that is still the one that is kept.
   * @throws RefreshFailure
   */
  async obtain (key: string, forceRenewal: boolean | string | undefined, question: TokenQuestion): Promise<AccessToken> {
    const { refreshBeforeExpiration, clock } = this.#settings
    const kept = this.#kept.get(key)
    const serves = kept !== undefined && forceRenewal !== true && forceRenewal !== kept.accessToken
    if (serves && !needsRefresh(kept, clock(), refreshBeforeExpiration)) return kept
    const good = serves && !isExpired(kept, clock()) ? kept : undefined
    const { coming, since } = this.#asking.get(key) ?? this.#start(key, question)
    if (good !== undefined && await takesLong(coming, since)) return good
    return await coming.catch((error: unknown) => {
      if (good !== undefined) return good
      throw error
    })
  }

  /** Drops all tokens whose key starts like this. */
  forget (prefix: string): void {
    for (const key of [...this.#kept.keys()]) if (key.startsWith(prefix)) this.#kept.delete(key)
  }

  #start (key: string, { ask, trace }: TokenQuestion) {
    const coming = trace(() => this.#ask(key, ask)).finally(() => this.#asking.delete(key))
    const asking = { coming, since: performance.now() }
    this.#asking.set(key, asking)
    return asking
  }

  async #ask (key: string, ask: () => Promise<AccessToken>): Promise<AccessToken> {
    const { pauses } = this.#settings
    pauses.enter(key)
    try {
      const token = await ask()
      pauses.succeeded(key)
      this.#kept.set(key, token)
      return token
    } catch (error) {
      const failure = classifyFailure(error)
      // What has gone wrong on the way to the question, in the session, is said as it is.
      throw hasCode(error) && failure.class !== 'refused' ? error : this.#remember(key, harmless(failure))
    }
  }

  #remember (key: string, failure: RefreshFailure): RefreshFailure {
    if (!failure.wasAsked) return failure
    if (failure.class === 'refused' || failure.class === 'rejected') this.#settings.log[failure.class === 'refused' ? 'error' : 'info'](detailsOf(failure), 'The token service refuses a token that is not of a login. See docs/troubleshooting.md')
    return this.#settings.pauses.failed(key, failure)
  }
}

/** What is said of what was presented this time ends no session, and an id_token that came along is nobody's. */
function harmless (failure: RefreshFailure): RefreshFailure {
  return failure.class === 'wrongIdentity' ? new RefreshFailure('badResponse', { cause: failure.cause }) : ofWish(failure)
}
