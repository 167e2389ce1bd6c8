import { LRUCache } from 'lru-cache'

/** How many are known at one time, and for how long: as long as a copy of the cookie is likely to come. */
const MOST = 10_000
const MEMORY_SECONDS = 3600

/**
 * Sessions of people who have logged in again in the same browser. Their tokens may be of one grant with the new ones, so
 * they are not revoked; and other tabs may be in the midst of requests, so they are served for a while, but written no more.
 */
export class ReplacedSessions {
  readonly #gracePeriod: number
  readonly #clock: () => number
  readonly #endsAt: LRUCache<string, number>

  constructor (gracePeriod: number, clock: () => number) {
    this.#gracePeriod = gracePeriod
    this.#clock = clock
    this.#endsAt = new LRUCache({ perf: { now: () => clock() * 1000 }, ttlResolution: 0, max: MOST, ttl: (gracePeriod + MEMORY_SECONDS) * 1000 })
  }

  /** It may be told more than once. */
  add (sessionId: string): void {
    if (!this.#endsAt.has(sessionId)) this.#endsAt.set(sessionId, this.#clock() + this.#gracePeriod)
  }

  has (sessionId: string): boolean {
    return this.#endsAt.has(sessionId)
  }

  /** Whether its while is over. */
  isOver (sessionId: string): boolean {
    return this.#clock() >= (this.#endsAt.get(sessionId) ?? Infinity)
  }
}
