import { type Registration, Tracing } from '../diagnostics.ts'
import { errorOf, withoutUser } from '../refresh/failure.ts'
import { type FailureMessage, type NoToken, tellFailure } from '../refresh/failure-message.ts'
import type { TokenWish } from '../tokens/token-wish.ts'

/** One request for a token of a client (RFC 6749 §4.4), for all who wait for it: `fastify-token-management:client-token`. */
export interface ClientTokenMessage extends Registration, TokenWish, FailureMessage {
  /** Its name in the option `clients`. */
  readonly client: string
  /** As it ends: `issued`; `failed`, where the token service has given none; `paused`, where nobody was asked, since it has failed before. */
  outcome?: 'issued' | NoToken
}

export const clientTokenTracing = new Tracing<ClientTokenMessage, object>('client-token', {
  done: () => ({ outcome: 'issued' }),
  failed: (error) => tellFailure(error, (failure) => errorOf(withoutUser(failure)))
})
