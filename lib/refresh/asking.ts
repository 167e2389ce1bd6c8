import type { Dispatcher } from 'undici'
import { classifyFailure, type RefreshFailure } from './failure.ts'
import { leavingOnlyIf } from './held-back.ts'
import type { Outages } from './outages.ts'
import { askPatiently } from './retry.ts'
import type { ServiceHealth } from './service-health.ts'

/** What is asked for. */
export interface Question<Answer> {
  /** Of the refresh token, wish, exchange or client whose matter the answer is. */
  readonly key: string
  readonly dispatcher: Dispatcher
  readonly send: (dispatcher: Dispatcher) => Promise<Answer>
  /** Whether it may be sent again where its answer was lost. */
  readonly retryAmbiguous: boolean
}

/** How the token service is asked for tokens, by everybody: not while it pauses, patiently, and what comes of it is noted. */
export class Asking {
  readonly #health: ServiceHealth
  readonly #outages: Outages

  constructor (health: ServiceHealth, outages: Outages) {
    this.#health = health
    this.#outages = outages
  }

  /** @throws RefreshFailure */
  async ask<Answer> ({ key, dispatcher, send, retryAmbiguous }: Question<Answer>): Promise<Answer> {
    const wary = leavingOnlyIf(() => this.#health.isWell, dispatcher)
    try {
      const answer = await askPatiently(async () => {
        await this.#health.enter(dispatcher)
        return await send(wary)
      }, retryAmbiguous)
      this.granted(key)
      return answer
    } catch (error) {
      throw await this.#note(key, classifyFailure(error), dispatcher)
    }
  }

  /** A token came, by whatever grant. */
  granted (key: string): void {
    this.#outages.succeeded(key, !this.#health.isWell)
    this.#health.granted()
  }

  /** Somebody has got no token for it. */
  disappointed ({ isPassing }: RefreshFailure): void {
    if (isPassing) this.#outages.disappointed()
  }

  async #note (key: string, failure: RefreshFailure, dispatcher: Dispatcher): Promise<RefreshFailure> {
    if (failure.isPassing) this.#outages.failed(key, failure)
    if (failure.isSuspicious && failure.wasAsked) await this.#health.suspect(dispatcher, failure.cause)
    return failure
  }
}
