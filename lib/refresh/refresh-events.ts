import type { FastifyBaseLogger } from 'fastify'
import { type RefreshedEvent, type RefreshFailedEvent, type SessionEndedEvent, tell } from '../tokens/events.ts'
import { readClaims } from '../tokens/jwt.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { isAnswer, type RefreshFailure } from './failure.ts'
import { detailsOf } from './outages.ts'

export interface RefreshEventsSettings {
  readonly provider: string
  readonly log: FastifyBaseLogger
  readonly onRefreshed?: ((event: RefreshedEvent) => unknown) | undefined
  readonly onRefreshFailed?: ((event: RefreshFailedEvent) => unknown) | undefined
  readonly onSessionEnded?: ((event: SessionEndedEvent) => unknown) | undefined
}

/** What goes for both. */
export type About = Pick<RefreshedEvent, 'durationSeconds' | 'requests'>

/** What the app and the admin are told of refreshes. */
export class RefreshEvents {
  readonly #settings: RefreshEventsSettings

  constructor (settings: RefreshEventsSettings) {
    this.#settings = settings
  }

  refreshed ({ idToken: before }: TokenSet, tokens: TokenSet, about: About): void {
    const { provider, log, onRefreshed } = this.#settings
    const { idToken } = tokens
    const claims = idToken === undefined || idToken === before ? undefined : readClaims(idToken)
    tell(log, 'onRefreshed', onRefreshed, { ...about, provider, tokens, claims })
  }

  failed ({ sessionId }: TokenSet, error: RefreshFailure, about: About): void {
    const { provider, log, onRefreshFailed } = this.#settings
    const { class: failure, endsSession } = error
    if (!isAnswer(failure)) return
    if (failure === 'refused' || failure === 'rejected') log.error(detailsOf(error), 'The token service refuses a refresh. See docs/troubleshooting.md')
    tell(log, 'onRefreshFailed', onRefreshFailed, { ...about, provider, sessionId, failure, error, sessionEnded: endsSession })
  }

  ended (sessionId: string, reason: SessionEndedEvent['reason']): void {
    const { provider, log, onSessionEnded } = this.#settings
    tell(log, 'onSessionEnded', onSessionEnded, { provider, sessionId, reason })
  }
}
