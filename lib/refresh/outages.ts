import type { FastifyBaseLogger } from 'fastify'
import { AnswerError } from '../token-service/token-response.ts'
import type { RefreshFailure } from './failure.ts'

/** Of how many is remembered that they are in trouble; where there are more, everybody's success ends it. */
const MAX_TROUBLED = 1000

interface Outage {
  readonly since: number
  /** Whose success ends it. */
  readonly troubled: Set<string>
  waited: number
}

/** Tells of outages in the log: one warning as one begins, and one line as it ends, whatever number of requests it meets. */
export class Outages {
  readonly #tokenEndpoint: () => string
  readonly #clock: () => number
  readonly #log: FastifyBaseLogger
  #outage: Outage | undefined

  constructor (tokenEndpoint: () => string, clock: () => number, log: FastifyBaseLogger) {
    this.#tokenEndpoint = tokenEndpoint
    this.#clock = clock
    this.#log = log
  }

  /** @param key - of what was asked for: a refresh token, a wish, an exchange or a client. */
  failed (key: string, failure: RefreshFailure): void {
    if (this.#outage === undefined) {
      this.#outage = { since: this.#clock(), troubled: new Set(), waited: 0 }
      this.#log.warn({ tokenService: new URL(this.#tokenEndpoint()).host, ...detailsOf(failure) }, 'The token service gives no tokens at the moment. Tokens that are still valid serve on, and no session is ended by this')
    }
    this.#outage.troubled.add(key)
  }

  /** Somebody has got no token for it. */
  disappointed (): void {
    if (this.#outage !== undefined) this.#outage.waited++
  }

  /** @param wasDown - the service had no answer for anybody, so that anybody's success ends it. */
  succeeded (key: string, wasDown: boolean): void {
    const outage = this.#outage
    if (outage === undefined || !(wasDown || outage.troubled.has(key) || outage.troubled.size >= MAX_TROUBLED)) return
    this.#outage = undefined
    this.#log.info({ tokenService: new URL(this.#tokenEndpoint()).host, durationSeconds: this.#clock() - outage.since, requests: outage.waited }, 'The token service gives tokens again')
  }
}

/** What of a failure helps an admin; no stack, since it is no bug of anybody's code here. */
export function detailsOf ({ class: failure, message, cause }: RefreshFailure): Record<string, unknown> {
  if (cause instanceof AnswerError) return { failure, status: cause.status, error: cause.error, description: cause.description }
  const reason = cause instanceof Error ? cause.cause : undefined
  return { failure, reason: message, ...(reason instanceof Error && 'code' in reason && { code: reason.code }) }
}
