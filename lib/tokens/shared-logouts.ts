import type { SessionOwner } from './provider-logout.ts'
import type { SessionQuery } from './session-query.ts'

/** A login, as it is found where the provider ends it. */
export interface IndexedLogin extends SessionOwner {
  readonly sessionId: string
  /** When it is over in any case, in seconds since the epoch. */
  readonly endsAt: number
}

/**
 * What a coordinator does besides for back-channel logouts of sessions that are in cookies (`logout.backchannelLogoutPath`): it
 * finds logins by whose they are, and knows the logout tokens that came to any process. What fails of `index`, `forget` and `see`
 * is made good later, or not at all; `find` and `hasSeen` reject where the others cannot be asked, so that the provider tries again.
 */
export interface SharedLogouts {
  /** After each login. */
  index (login: IndexedLogin): Promise<void>
  /** The logins that are meant, and are not over. */
  find (query: SessionQuery): Promise<readonly IndexedLogin[]>
  /** One that has ended. */
  forget (login: IndexedLogin): Promise<void>
  /** Whether a logout token with this `jti` was done before. */
  hasSeen (jti: string): Promise<boolean>
  /** One is done; as long as it is good, in seconds. */
  see (jti: string, seconds: number): Promise<void>
}
