import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { type RefreshedEvent, type RefreshFailedEvent, type RefreshTokenReusedEvent, type SessionEndedEvent, tell, tellSessionEnded } from '../tokens/events.ts'
import { claimsOf } from '../tokens/claims.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { isAnswer, type RefreshFailure } from './failure.ts'
import { detailsOf } from './outages.ts'

export interface RefreshEventsSettings {
  readonly provider: string
  readonly log: FastifyBaseLogger
  readonly onRefreshed?: ((event: RefreshedEvent) => unknown) | undefined
  readonly onRefreshFailed?: ((event: RefreshFailedEvent) => unknown) | undefined
  readonly onSessionEnded?: ((event: SessionEndedEvent) => unknown) | undefined
  readonly onRefreshTokenReused?: ((event: RefreshTokenReusedEvent) => unknown) | undefined
}

/** Of how many reuses is remembered that they are told: a copy of a cookie may come at every request. */
const MAX_TOLD = 10_000

/** What goes for both. */
export type About = Pick<RefreshedEvent, 'durationSeconds' | 'requests'>

/** What the app and the admin are told of refreshes. */
export class RefreshEvents {
  readonly #settings: RefreshEventsSettings
  readonly #reused = new LRUCache<string, true>({ max: MAX_TOLD })

  constructor (settings: RefreshEventsSettings) {
    this.#settings = settings
  }

  refreshed ({ idToken: before }: TokenSet, tokens: TokenSet, about: About): void {
    const { provider, log, onRefreshed } = this.#settings
    const { idToken } = tokens
    const claims = idToken === before ? undefined : claimsOf(idToken)
    tell(log, 'onRefreshed', onRefreshed, { ...about, provider, tokens, claims })
  }

  failed ({ sessionId }: TokenSet, error: RefreshFailure, about: About): void {
    const { provider, log, onRefreshFailed } = this.#settings
    const { class: failure, endsSession } = error
    if (!isAnswer(failure)) return
    if (failure === 'refused' || failure === 'rejected') log.error(detailsOf(error), 'The token service refuses a refresh. See docs/troubleshooting.md')
    tell(log, 'onRefreshFailed', onRefreshFailed, { ...about, provider, sessionId, failure, error, sessionEnded: endsSession })
  }

  /** Told once of each. */
  reused ({ sessionId, generation }: TokenSet): void {
    const key = `${sessionId} ${generation}`
    if (this.#reused.has(key)) return
    this.#reused.set(key, true)
    const { provider, log, onRefreshTokenReused } = this.#settings
    log.warn({ provider, sessionId }, 'A refresh token has come back that was spent by somebody else. See SECURITY.md')
    tell(log, 'onRefreshTokenReused', onRefreshTokenReused, { provider, sessionId })
  }

  ended (sessionId: string, reason: SessionEndedEvent['reason']): void {
    const { provider, log, onSessionEnded } = this.#settings
    tellSessionEnded(log, onSessionEnded, { provider, sessionId, reason })
  }
}
