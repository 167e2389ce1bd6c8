import type { FastifyError } from 'fastify'
import { type Registration, Tracing } from '../diagnostics.ts'
import { isTokenError, LoginFailed } from '../errors.ts'
import { toldError } from '../refresh/told-error.ts'

/**
 * What became of a step of a login:
 * - `redirected`: the browser is sent to the provider;
 * - `loggedIn`: it has come back, and its session is started;
 * - `repeated`: it has come back again, with what was redeemed before: it gets the same session;
 * - `alreadyLoggedIn`: it has come back with a login that it has not begun, and is logged in;
 * - `failed`.
 */
export type LoginOutcome = 'redirected' | 'loggedIn' | 'repeated' | 'alreadyLoggedIn' | 'failed'

/** One step of a login: `fastify-token-management:login`. */
export interface LoginMessage extends Registration {
  /** `start`: the browser is sent to the provider. `callback`: it comes back from there. */
  readonly step: 'start' | 'callback'
  /** This, and what follows, as it ends. */
  outcome?: LoginOutcome
  /** The session that it has brought. */
  sessionId?: string
  error?: FastifyError | undefined
}

/** What has come of a step, as far as it may be told. */
export interface FinishedLogin {
  readonly outcome: LoginOutcome
  readonly sessionId?: string
}

export const loginTracing = new Tracing<LoginMessage, FinishedLogin>('login', {
  done: ({ outcome, sessionId }) => ({ outcome, ...(sessionId !== undefined && { sessionId }) }),
  // What the app has thrown in `onLogin`, say, may hold anything.
  failed: (error) => ({ outcome: 'failed', error: isTokenError(error) ? toldError(error) : new LoginFailed('the app has refused it') })
})
