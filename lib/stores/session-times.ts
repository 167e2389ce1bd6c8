import type { CheckedOptions } from '../options/check.ts'
import { refreshAt } from '../tokens/lifetime.ts'
import type { TokenSet } from '../tokens/token-set.ts'

/** Of a session: when it was written last, in seconds since the epoch, and its tokens. */
export interface TimedSession {
  readonly usedAt: number
  readonly tokens: TokenSet
}

/** The limits of sessions, in seconds. */
export type SessionTimesSettings = Pick<CheckedOptions, 'refreshBeforeExpiration'> & {
  readonly session: Pick<CheckedOptions['session'], 'inactivityDuration' | 'absoluteDuration'>
}

/** When something is to be done about a session; all in seconds since the epoch. */
export class SessionTimes {
  readonly #settings: SessionTimesSettings

  constructor (settings: SessionTimesSettings) {
    this.#settings = settings
  }

  /** When it is over, unless it is used before. */
  endOf ({ usedAt, tokens }: TimedSession): number {
    const { inactivityDuration, absoluteDuration } = this.#settings.session
    return Math.min(usedAt + inactivityDuration, tokens.startedAt + absoluteDuration)
  }

  /** Whether it is over however much it was used: an old copy that was not used says nothing of the session. */
  isAtItsEnd ({ tokens }: TimedSession, now: number): boolean {
    return now >= tokens.startedAt + this.#settings.session.absoluteDuration
  }

  /** When its use is to be written down: the inactivity limit is pushed back only once in half of its time. */
  rollAt ({ usedAt }: TimedSession): number {
    return usedAt + this.#settings.session.inactivityDuration / 2
  }

  /** When it wants to be read at every request: to be written down, or the login's own token to be refreshed, if it can be. */
  dueAt (session: TimedSession): number {
    const { refreshToken, accessTokens: [login] } = session.tokens
    const isRefreshable = refreshToken !== undefined && login !== undefined
    return Math.min(this.rollAt(session), isRefreshable ? refreshAt(login, this.#settings.refreshBeforeExpiration) : Infinity)
  }
}
