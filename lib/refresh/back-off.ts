import { LRUCache } from 'lru-cache'
import { RefreshFailure } from './failure.ts'

/** Seconds before a refresh token is presented again that was refused, or may have been spent. */
const TOKEN_PAUSE = 5

/** Seconds of the first pause after an outage, and of the longest: doubled at each failure. */
const FIRST_PAUSE = 1
const LONGEST_PAUSE = 30

/** A service that asks to be left alone is left alone for at most so many seconds. */
const LONGEST_RETRY_AFTER = 300

/** Outages of one token service: while it pauses nobody waits for it, and one request at a time finds out whether it is back. */
export class ServiceBackOff {
  readonly #clock: () => number
  #failures = 0
  #pause = { from: 0, until: 0 }
  #isProbing = false

  constructor (clock: () => number) {
    this.#clock = clock
  }

  /** @throws RefreshFailure `unavailable` while the service is left alone. */
  enter (): void {
    if (this.#failures === 0) return
    const left = this.#pauseLeft()
    if (left > 0) throw new RefreshFailure('unavailable', { retryAfter: left })
    if (this.#isProbing) throw new RefreshFailure('unavailable', { retryAfter: FIRST_PAUSE })
    this.#isProbing = true
  }

  /** Requests that were on their way together fail together: that is one outage, and one pause. */
  failed (retryAfter = 0): void {
    const now = this.#clock()
    if (this.#pauseLeft() === 0) {
      this.#failures++
      this.#pause = { from: now, until: now + pauseAfter(this.#failures) }
    }
    this.#pause.until = Math.max(this.#pause.until, now + Math.min(retryAfter, LONGEST_RETRY_AFTER))
    this.#isProbing = false
  }

  answered (): void {
    this.#failures = 0
    this.#pause = { from: 0, until: 0 }
    this.#isProbing = false
  }

  /** A pause that has yet to begin was made before the clock was set back: it is over. */
  #pauseLeft (): number {
    const now = this.#clock()
    const { from, until } = this.#pause
    return now < from ? 0 : Math.max(0, until - now)
  }
}

/** With jitter, so that many processes do not come back at the same moment. */
function pauseAfter (failures: number): number {
  const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1))
  return pause * (0.5 + Math.random() / 2)
}

/** How long a refused refresh token is remembered, and within how many bytes: an error with its causes and stacks is large. */
const MEMORY_SECONDS = 3600
const MEMORY_BYTES = 16 * 1_048_576
const FAILURE_BYTES = 4000

interface TokenMemory {
  readonly failure: RefreshFailure
  readonly firstAt: number
  readonly lastAt: number
}

/** What became of single refresh tokens that were refused: the dead ones are never sent again, the others after a pause. */
export class TokenBackOff {
  readonly #clock: () => number
  readonly #gracePeriod: number
  readonly #memories: LRUCache<string, TokenMemory>

  constructor (gracePeriod: number, clock: () => number) {
    this.#clock = clock
    this.#gracePeriod = gracePeriod
    this.#memories = new LRUCache({
      perf: { now: () => clock() * 1000 },
      ttlResolution: 0,
      ttl: MEMORY_SECONDS * 1000,
      maxSize: MEMORY_BYTES,
      sizeCalculation: (_, token) => token.length + FAILURE_BYTES
    })
  }

  /** @throws RefreshFailure what is remembered of this refresh token, while it is not to be sent. */
  enter (refreshToken: string): void {
    const memory = this.#memories.get(refreshToken)
    if (memory === undefined) return
    const { failure, lastAt } = memory
    if (failure.endsSession) throw failure
    const retryAfter = TOKEN_PAUSE - Math.abs(this.#clock() - lastAt)
    if (retryAfter > 0) throw new RefreshFailure(failure.class, { cause: failure.cause, retryAfter })
  }

  /**
   * Remembers a failure, and says what it means: a token that is refused without a reason, again and after the grace
   * period, is dead.
   */
  failed (refreshToken: string, failure: RefreshFailure): RefreshFailure {
    const now = this.#clock()
    const memory = this.#memories.get(refreshToken)
    const firstAt = memory?.failure.class === failure.class ? memory.firstAt : now
    const dead = failure.class === 'rejected' && now >= firstAt + this.#gracePeriod
    const meaning = dead ? new RefreshFailure('ended', { cause: failure.cause }) : failure
    this.#memories.set(refreshToken, { failure: meaning, firstAt, lastAt: now })
    return meaning
  }

  succeeded (refreshToken: string): void {
    this.#memories.delete(refreshToken)
  }

  /**
   * Whether the session of a dead token may be wiped: not at the first answer, since another process may have spent the
   * token and set its successor on a response that is on its way.
   */
  isOver (refreshToken: string): boolean {
    const memory = this.#memories.get(refreshToken)
    if (memory === undefined || !memory.failure.endsSession) return false
    return memory.failure.class !== 'ended' || this.#clock() >= memory.firstAt + this.#gracePeriod
  }
}
