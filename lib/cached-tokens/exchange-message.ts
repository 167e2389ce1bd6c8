import { type Registration, Tracing } from '../diagnostics.ts'
import { type FailureMessage, type NoToken, tellFailure } from '../refresh/failure-message.ts'
import type { TokenWish } from '../tokens/token-wish.ts'

/** One exchange of a session's access token (RFC 8693), for all who wait for it: `fastify-token-management:exchange`. */
export interface ExchangeMessage extends Registration, TokenWish, FailureMessage {
  readonly sessionId: string
  readonly audience?: string | undefined
  /** As it ends: `issued`; `failed`, where the token service has given none; `paused`, where nobody was asked, since it has failed before. */
  outcome?: 'issued' | NoToken
}

export const exchangeTracing = new Tracing<ExchangeMessage, object>('exchange', {
  done: () => ({ outcome: 'issued' }),
  failed: (error) => tellFailure(error)
})
