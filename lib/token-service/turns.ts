import type { CheckedOptions } from '../options/check.ts'
import { BackchannelError, connectionsOf } from './backchannel.ts'

/** Who else waits for a turn; the next one is sent away. */
const MOST_WAITING = 100

export interface TurnsSettings {
  /** How many at one time. */
  readonly atOnce: number
  /** Seconds that one waits at most. */
  readonly patience: number
  readonly clock: () => number
}

/** Requests to the provider that anybody can bring about: so many at one time, some that wait, and no more. */
export class Turns {
  readonly #settings: TurnsSettings
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor (settings: TurnsSettings) {
    this.#settings = settings
  }

  /** @throws BackchannelError where there are too many: nothing was sent then. */
  async take<Result> (ask: () => Promise<Result>): Promise<Result> {
    await this.#turn()
    try {
      return await ask()
    } finally {
      this.#pass()
    }
  }

  async #turn (): Promise<void> {
    const { atOnce, patience, clock } = this.#settings
    if (this.#running < atOnce) {
      this.#running++
      return
    }
    if (this.#waiting.length >= MOST_WAITING) throw tooMany()
    const since = clock()
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
    if (clock() - since <= patience) return
    this.#pass()
    throw tooMany()
  }

  /** To the next that waits, or to nobody. */
  #pass (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }
}

/** For logins: half of the connections at most, so that a flood of them leaves the rest to refreshes. */
export function turnsFor ({ backchannel, requestTimeout, clock }: Pick<CheckedOptions, 'backchannel' | 'requestTimeout' | 'clock'>): Turns {
  return new Turns({ atOnce: Math.max(1, Math.floor(connectionsOf(backchannel) / 2)), patience: requestTimeout, clock })
}

function tooMany (): BackchannelError {
  return new BackchannelError('Too many logins at one time: this one was not sent', false, undefined)
}
