import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { AnswerError } from '../token-service/token-response.ts'
import type { RefreshFailure } from './failure.ts'

/** Of how many is remembered that they are in trouble, and for how many seconds: twice the longest pause. */
const MAX_TROUBLED = 1000
const MEMORY_SECONDS = 600

interface Outage {
  readonly since: number
  waited: number
}

/** Tells of outages in the log: one warning as one begins, and one line as it ends, whatever number of requests it meets. */
export class Outages {
  readonly #tokenEndpoint: () => string
  readonly #clock: () => number
  readonly #log: FastifyBaseLogger
  /** Whose success ends the outage. Who does not come back is forgotten. */
  readonly #troubled: LRUCache<string, true>
  #outage: Outage | undefined

  constructor (tokenEndpoint: () => string, clock: () => number, log: FastifyBaseLogger) {
    this.#tokenEndpoint = tokenEndpoint
    this.#clock = clock
    this.#log = log
    this.#troubled = new LRUCache({ perf: { now: () => clock() * 1000 }, ttlResolution: 0, ttl: MEMORY_SECONDS * 1000, max: MAX_TROUBLED })
  }

  /** @param key - of what was asked for: a refresh token, a wish, an exchange or a client. */
  failed (key: string, failure: RefreshFailure): void {
    this.#troubled.purgeStale()
    if (this.#outage === undefined || this.#troubled.size === 0) {
      this.#outage = { since: this.#clock(), waited: 0 }
      this.#log.warn({ tokenService: this.#host, ...detailsOf(failure) }, 'The token service gives no tokens at the moment. Tokens that are still valid serve on, and no session is ended by this')
    }
    this.#troubled.set(key, true)
  }

  /** Somebody has got no token for it. */
  disappointed (): void {
    if (this.#outage !== undefined) this.#outage.waited++
  }

  /** @param wasDown - the service had no answer for anybody, so that anybody's success ends it. */
  succeeded (key: string, wasDown: boolean): void {
    const outage = this.#outage
    if (outage === undefined) return
    const isWidespread = this.#troubled.size >= MAX_TROUBLED
    if (!this.#troubled.delete(key) && !wasDown && !isWidespread) return
    this.#outage = undefined
    this.#log.info({ tokenService: this.#host, durationSeconds: this.#clock() - outage.since, requests: outage.waited }, 'The token service gives tokens again')
  }

  get #host (): string {
    return new URL(this.#tokenEndpoint()).host
  }
}

/** What of a failure helps an admin; no stack, since it is no bug of anybody's code here. */
export function detailsOf ({ class: failure, message, cause }: RefreshFailure): Record<string, unknown> {
  if (cause instanceof AnswerError) return { failure, status: cause.status, error: cause.error, description: cause.description }
  const reason = cause instanceof Error ? cause.cause : undefined
  return { failure, reason: message, ...(reason instanceof Error && 'code' in reason && { code: reason.code }) }
}
