import { type Registration, Tracing } from '../diagnostics.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { TokenWish } from '../tokens/token-wish.ts'
import { classifyFailure } from './failure.ts'
import { type FailureMessage, type NoToken, tellFailure } from './failure-message.ts'

/**
 * What became of a refresh:
 * - `refreshed`: there are new tokens;
 * - `joined`: another process of the app has, or had, the turn, and this one goes on with what that has got;
 * - `failed`: the token service has given no token, and `failure` says what that means;
 * - `paused`: nobody was asked, since it has failed before: for `pauseSeconds`, or for good where the refresh token is dead; or since the other processes cannot be asked;
 * - `spent`: the refresh token was spent before, and what came of it is not known any more;
 * - `loggedOut`: the session has ended meanwhile.
 */
export type RefreshOutcome = 'refreshed' | 'joined' | NoToken | 'spent' | 'loggedOut'

/** One refresh by this process, for all requests that wait for it: `fastify-token-management:refresh`. */
export interface RefreshMessage extends Registration, TokenWish, FailureMessage {
  readonly sessionId: string
  /** This, and what follows, as it ends. */
  outcome?: RefreshOutcome
  /** How many requests have waited for it. */
  waiters?: number
}

export const refreshTracing = new Tracing<RefreshMessage, TokenSet>('refresh', {
  done: (_successor, { outcome = 'refreshed' }) => ({ outcome }),
  failed: (error) => {
    const { class: kind } = classifyFailure(error)
    return { ...tellFailure(error), ...((kind === 'spent' || kind === 'loggedOut') && { outcome: kind }) }
  }
})
