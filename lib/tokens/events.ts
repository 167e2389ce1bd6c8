import type { FastifyBaseLogger } from 'fastify'
import { sessionEnded } from '../diagnostics.ts'
import type { IdTokenClaims } from './claims.ts'
import type { TokenSet } from './token-set.ts'

/**
 * What a refresh that failed means:
 * - `ended`: the refresh token is dead (`invalid_grant`);
 * - `wrongIdentity`: the id_token is of another issuer, subject or audience (OpenID Connect Core §12.2);
 * - `rejected`: 400, 401 or 403 without an OAuth error;
 * - `unavailable`: the request was not sent, or answered with 429 or 5xx;
 * - `ambiguous`: sent, and no answer came: the refresh token may have been spent;
 * - `refused`: the app's own configuration (`invalid_client`, `invalid_scope`…), or a function of the app that failed before the request;
 * - `badResponse`: an answer that cannot be used.
 */
export type FailureClass = 'ended' | 'wrongIdentity' | 'rejected' | 'unavailable' | 'ambiguous' | 'refused' | 'badResponse'

interface RefreshEvent {
  readonly provider: string
  /** How long the token service took. */
  readonly durationSeconds: number
  /** How many callers waited for this one refresh. */
  readonly requests: number
}

/** A refresh that brought new tokens. */
export interface RefreshedEvent extends RefreshEvent {
  readonly tokens: TokenSet
  /** The claims of the new id_token, where the answer had one: checked, and of the same user as the session's. */
  readonly claims?: IdTokenClaims | undefined
}

/** A refresh that failed. */
export interface RefreshFailedEvent extends RefreshEvent {
  readonly sessionId: string
  readonly failure: FailureClass
  readonly error: Error
  readonly sessionEnded: boolean
}

/**
 * Why a session is over:
 * - `logout`: by the logout, `request.tokens.clear()` or `revoke()`, or with the app's own session;
 * - `refreshTokenDead`: the provider says so;
 * - `replaced`: somebody has logged in again in this browser, the same person or another;
 * - `ended`: from elsewhere, by `app.tokenSessions`;
 * - `backchannelLogout`: the provider has ended it (OpenID Connect Back-Channel Logout);
 * - `expired`: `session.inactivityDuration` or `session.absoluteDuration` is over.
 */
export type SessionEndReason = 'logout' | 'refreshTokenDead' | 'replaced' | 'ended' | 'backchannelLogout' | 'expired'

/** A session that is over. */
export interface SessionEndedEvent {
  readonly provider: string
  readonly sessionId: string
  readonly reason: SessionEndReason
}

/**
 * A refresh token has come back that was spent, and not by this session here: by a process that shares nothing with this
 * one, or by somebody who has a copy of the session.
 */
export interface RefreshTokenReusedEvent {
  readonly provider: string
  readonly sessionId: string
}

/**
 * Tells the app of something that has happened, once it is safe: whatever the app does with that cannot undo it, and a
 * throw is only logged.
 */
export function tell<Event> (log: FastifyBaseLogger, name: string, callback: ((event: Event) => unknown) | undefined, event: Event): void {
  if (callback === undefined) return
  setImmediate(async () => {
    try {
      await callback(event)
    } catch (error) {
      log.error({ err: error }, `${name} failed; what it was told of stands all the same`)
    }
  })
}

/** Tells of the end of a session: those who have subscribed to it, and the app. */
export function tellSessionEnded (log: FastifyBaseLogger, callback: ((event: SessionEndedEvent) => unknown) | undefined, event: SessionEndedEvent): void {
  sessionEnded.publish(event)
  tell(log, 'onSessionEnded', callback, event)
}
