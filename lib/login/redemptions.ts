import { LRUCache } from 'lru-cache'
import { hasCode, LoginFailed } from '../errors.ts'
import { TRANSACTION_SECONDS } from './transaction.ts'

/** Bounds of what is remembered. Failures are apart, so that nobody pushes logins out by failing. */
const MAX_OUTCOMES = 1000
const MAX_REDEEMED = 50_000
const MAX_FAILURES = 1000

/**
 * Sees to it that a code is redeemed once, whoever brings its callback how often at once: a browser that restores its tabs, a
 * prefetch, a reload. The second use of a code makes a provider revoke what it has issued for the first (RFC 6749 §4.1.2).
 */
export class Redemptions<Outcome extends object> {
  readonly #running = new Map<string, Promise<Outcome>>()
  /** What came of it: for those who come a little later. */
  readonly #outcomes: LRUCache<string, Outcome>
  /** That it is done: as long as a browser may hold the transaction. */
  readonly #redeemed: LRUCache<string, true>
  readonly #failures: LRUCache<string, Error>

  /** @param gracePeriod - seconds that an outcome is remembered. */
  constructor (gracePeriod: number, clock: () => number) {
    const time = { perf: { now: () => clock() * 1000 }, ttlResolution: 0 }
    this.#outcomes = new LRUCache({ ...time, max: MAX_OUTCOMES, ttl: gracePeriod * 1000 })
    this.#redeemed = new LRUCache({ ...time, max: MAX_REDEEMED, ttl: TRANSACTION_SECONDS * 1000 })
    this.#failures = new LRUCache({ ...time, max: MAX_FAILURES, ttl: TRANSACTION_SECONDS * 1000 })
  }

  /**
   * Redeems, or gives what came of it.
   *
   * @param state - of the transaction, and so its name.
   * @throws what `redeem` throws, also to those who come later, unless the reason may pass; FST_TOKEN_LOGIN_FAILED where it was redeemed a while ago.
   */
  async once (state: string, redeem: () => Promise<Outcome>): Promise<Outcome> {
    const known = this.#running.get(state) ?? this.#outcomes.get(state)
    if (known !== undefined) return await known
    const failure = this.#failures.get(state)
    if (failure !== undefined) throw failure
    if (this.#redeemed.has(state)) throw new LoginFailed('this browser has finished it already')
    const running = this.#run(state, redeem).finally(() => this.#running.delete(state))
    this.#running.set(state, running)
    return await running
  }

  async #run (state: string, redeem: () => Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await redeem()
      this.#outcomes.set(state, outcome)
      this.#redeemed.set(state, true)
      return outcome
    } catch (error) {
      if (!mayPass(error)) this.#failures.set(state, error instanceof Error ? error : new LoginFailed('it was refused', { cause: error }))
      throw error
    }
  }
}

/** Not sent, not answered, 429 or 5xx: the reload of the callback is the retry. */
export function mayPass (error: unknown): boolean {
  return hasCode(error, 'FST_TOKEN_SERVICE_UNAVAILABLE')
}
