import { LRUCache } from 'lru-cache'
import { AnswerError } from '../token-service/token-response.ts'
import { RefreshFailure } from './failure.ts'

/** Seconds before something is presented again that was refused, or may have been spent. */
const LONG_PAUSE = 5

/** Seconds of the first pause where the service had trouble with it, and of the longest: doubled at each failure. */
const FIRST_PAUSE = 1
const LONGEST_PAUSE = 30

/** A service that asks to be left alone is left alone for at most so many seconds. */
const LONGEST_RETRY_AFTER = 300

/** How long trouble is remembered, and within how many bytes: an error with its causes is large. */
const MEMORY_SECONDS = 3600
const MEMORY_BYTES = 16 * 1_048_576
const FAILURE_BYTES = 4000

interface Memory {
  readonly failure: RefreshFailure
  /** When it first failed like this, and how much the service had granted to others by then. */
  readonly firstAt: number
  readonly grantsBefore: number
  readonly lastAt: number
  readonly pause: number
  /** In a row. */
  readonly failures: number
  isTold?: boolean
}

export interface PausesSettings {
  readonly gracePeriod: number
  readonly clock: () => number
  /** How many tokens the service has given this client so far. */
  readonly grants: () => number
}

/**
 * Trouble is kept where it belongs: what became of single refresh tokens, of wishes, exchanges or clients, by a key that
 * names them. What is dead is never sent again, and everything else after a pause.
 */
export class Pauses {
  readonly #settings: PausesSettings
  readonly #memories: LRUCache<string, Memory>

  constructor (settings: PausesSettings) {
    this.#settings = settings
    this.#memories = new LRUCache({
      perf: { now: () => settings.clock() * 1000 },
      ttlResolution: 0,
      ttl: MEMORY_SECONDS * 1000,
      maxSize: MEMORY_BYTES,
      sizeCalculation: (_, key) => key.length + FAILURE_BYTES
    })
  }

  /** @throws RefreshFailure what is remembered under this key, while it is not to be sent. */
  enter (key: string): void {
    const memory = this.#memories.get(key)
    if (memory === undefined) return
    const { failure, lastAt, pause } = memory
    if (failure.endsSession) throw new RefreshFailure(failure.class, { cause: failure.cause, wasAsked: false })
    // The distance, so that a clock that was set back ends a pause.
    const retryAfter = pause - Math.abs(this.#settings.clock() - lastAt)
    if (retryAfter > 0) throw new RefreshFailure(failure.class, { cause: failure.cause, retryAfter, wasAsked: false })
  }

  /**
   * Remembers a failure, and says what it means: a refresh token that is refused again after the grace period is dead, where
   * the service has given tokens to others meanwhile. Then it is this token, and no firewall and no registration.
   *
   * @param mayBeDead - whether it is about a refresh token.
   */
  failed (key: string, failure: RefreshFailure, mayBeDead = false): RefreshFailure {
    const { clock, gracePeriod, grants } = this.#settings
    const now = clock()
    const before = this.#memories.get(key)
    const { firstAt, grantsBefore } = before?.failure.class === failure.class ? before : { firstAt: now, grantsBefore: grants() }
    const isDead = mayBeDead && failure.class === 'rejected' && now >= firstAt + gracePeriod && grants() > grantsBefore
    const meaning = isDead ? new RefreshFailure('ended', { cause: failure.cause }) : failure
    const failures = failure.isPassing ? (before?.failures ?? 0) + 1 : 0
    const pause = pauseOf(failure, failures)
    if (!meaning.endsSession) meaning.pauseSeconds = pause
    this.#memories.set(key, { failure: meaning, firstAt, grantsBefore, lastAt: now, pause, failures })
    return meaning
  }

  /** Whether it is known to be dead: nothing is sent any more. */
  isDead (key: string): boolean {
    return this.#memories.get(key)?.failure.endsSession ?? false
  }

  succeeded (key: string): void {
    this.#memories.delete(key)
  }

  /**
   * Whether the session of a dead token may be wiped: not at the first answer, since another process may have spent the
   * token and set its successor on a response that is on its way.
   */
  isOver (key: string): boolean {
    const memory = this.#memories.get(key)
    if (memory === undefined || !memory.failure.endsSession) return false
    return memory.failure.class !== 'ended' || this.#settings.clock() >= memory.firstAt + this.#settings.gracePeriod
  }

  /** Whether this may have been spent already, so that nothing is risked by sending it. */
  mayBeSpent (key: string): boolean {
    const { failure } = this.#memories.get(key) ?? {}
    return failure?.class === 'ambiguous' || (failure?.isSuspicious === true && failure.cause instanceof AnswerError)
  }

  /** Whether this is the first to say that it is over. */
  isFirstToTell (key: string): boolean {
    const memory = this.#memories.get(key)
    if (memory === undefined || memory.isTold) return false
    memory.isTold = true
    return true
  }
}

function pauseOf ({ class: kind, isPassing, retryAfter = 0 }: RefreshFailure, failures: number): number {
  if (!isPassing) return LONG_PAUSE
  const doubled = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1))
  return Math.max(doubled, kind === 'ambiguous' ? LONG_PAUSE : 0, Math.min(retryAfter, LONGEST_RETRY_AFTER))
}
