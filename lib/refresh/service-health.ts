import { RefreshFailure } from './failure.ts'

/** Seconds of the first pause after an outage, and of the longest: doubled at each probe that fails. */
const FIRST_PAUSE = 1
const LONGEST_PAUSE = 30

/** So many probes in a row fail before something else may find out: some services answer no GET. */
const PROBES = 5

/** Whether the service answers at all: it risks no session, since nothing is spent by it. */
export type Probe = () => Promise<boolean>

/**
 * Whether a token service is well, as far as one HTTP client can tell. One that gives no connection or no answer is suspected,
 * and probed; where the probe fails as well the service is left alone for a while, and the next probe finds out whether it is
 * back. Whatever it answers is not its own matter, but that of the token that was presented.
 */
export class ServiceHealth {
  readonly #probe: Probe
  readonly #clock: () => number
  #failures = 0
  #pause = { from: 0, until: 0 }
  #cause: unknown
  #probing: Promise<void> | undefined
  #successes = 0

  constructor (probe: Probe, clock: () => number) {
    this.#probe = probe
    this.#clock = clock
  }

  /** Whether nothing is known against it. */
  get isWell (): boolean {
    return this.#failures === 0 && this.#probing === undefined
  }

  /**
   * Lets a request pass, after the probe where one is due.
   *
   * @param risksNothing - it may find out what no probe does.
   * @throws RefreshFailure `unavailable` while the service is left alone.
   */
  async enter (risksNothing: boolean): Promise<void> {
    if (this.isWell) return
    this.#throwIfPaused()
    await this.suspect(this.#cause)
    if (!risksNothing || this.#failures < PROBES) this.#throwIfPaused()
  }

  /** Something was sent in vain: one probe for all who say so at the time. */
  async suspect (cause: unknown): Promise<void> {
    if (this.#pauseLeft() > 0) return
    this.#cause = cause
    this.#probing ??= this.#find().finally(() => { this.#probing = undefined })
    await this.#probing
  }

  /** The service has given a token. */
  succeeded (): void {
    this.#successes++
    this.#failures = 0
  }

  async #find (): Promise<void> {
    const successes = this.#successes
    if (await this.#probe() || successes !== this.#successes) {
      this.#failures = 0
      return
    }
    const now = this.#clock()
    this.#pause = { from: now, until: now + pauseAfter(++this.#failures) }
  }

  #throwIfPaused (): void {
    const retryAfter = this.#pauseLeft()
    if (retryAfter > 0) throw new RefreshFailure('unavailable', { cause: this.#cause, retryAfter, wasAsked: false })
  }

  /** A pause that has yet to begin was made before the clock was set back: it is over. */
  #pauseLeft (): number {
    const now = this.#clock()
    const { from, until } = this.#pause
    return this.#failures === 0 || now < from ? 0 : Math.max(0, until - now)
  }
}

/** With jitter, so that many processes do not come back at the same moment. */
function pauseAfter (failures: number): number {
  const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1))
  return pause * (0.5 + Math.random() / 2)
}
