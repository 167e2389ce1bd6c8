import type { Dispatcher } from 'undici'
import { classifyFailure, RefreshFailure } from './failure.ts'
import { leavingOnlyIf } from './held-back.ts'
import type { Outages } from './outages.ts'
import { askPatiently } from './retry.ts'
import { ServiceHealth } from './service-health.ts'

/** What is asked for. */
export interface Question<Answer> {
  /** Of the refresh token, wish, exchange or client whose matter the answer is. */
  readonly key: string
  readonly dispatcher: Dispatcher
  readonly send: (dispatcher: Dispatcher) => Promise<Answer>
  /** Whether it may be sent again where its answer was lost. */
  readonly retryAmbiguous: boolean
  /** Whether no session is lost where the service takes it and does not answer. */
  readonly risksNothing: boolean
  /** Whether a request that waits for a connection since then may leave now, as far as the other processes go. */
  readonly isOurTurn?: (since: number) => boolean
}

/** How the token service is asked for tokens, by everybody: not while it pauses, patiently, and what comes of it is noted. */
export class Asking {
  readonly #probe: (dispatcher: Dispatcher) => Promise<boolean>
  readonly #outages: Outages
  readonly #clock: () => number
  /** By the HTTP client: what is out of reach for one may be in reach for another. */
  readonly #healths = new WeakMap<Dispatcher, ServiceHealth>()

  constructor (probe: (dispatcher: Dispatcher) => Promise<boolean>, outages: Outages, clock: () => number) {
    this.#probe = probe
    this.#outages = outages
    this.#clock = clock
  }

  /** @throws RefreshFailure */
  async ask<Answer> ({ key, dispatcher, send, retryAmbiguous, risksNothing, isOurTurn = () => true }: Question<Answer>): Promise<Answer> {
    const health = this.#healthBy(dispatcher)
    const wary = leavingOnlyIf((since) => (risksNothing || health.isWell) && isOurTurn(since), dispatcher)
    try {
      const answer = await askPatiently(async () => {
        await health.enter(risksNothing)
        if (!isOurTurn(performance.now())) throw new RefreshFailure('unavailable', { cause: new Error('the turn among the processes is over'), wasAsked: false })
        return await send(wary)
      }, retryAmbiguous)
      this.succeeded(key, dispatcher)
      return answer
    } catch (error) {
      const failure = classifyFailure(error)
      if (failure.isPassing) this.#outages.failed(key, failure)
      if (failure.isSuspicious && failure.wasAsked) await health.suspect(failure.cause)
      throw failure
    }
  }

  /** A token came, by whatever grant: that ends a pause. */
  succeeded (key: string, dispatcher: Dispatcher): void {
    const health = this.#healthBy(dispatcher)
    this.#outages.succeeded(key, !health.isWell)
    health.succeeded()
  }

  /** Somebody has got no token for it. */
  disappointed ({ isPassing }: RefreshFailure): void {
    if (isPassing) this.#outages.disappointed()
  }

  #healthBy (dispatcher: Dispatcher): ServiceHealth {
    const health = this.#healths.get(dispatcher) ?? new ServiceHealth(() => this.#probe(dispatcher), this.#clock)
    this.#healths.set(dispatcher, health)
    return health
  }
}
