import type { FastifyError } from 'fastify'
import { type Registration, Tracing } from '../diagnostics.ts'
import { isTokenError, InvalidParameters, StoreFailed } from '../errors.ts'
import { classifyFailure, errorOf } from '../refresh/failure.ts'
import { toldError } from '../refresh/told-error.ts'
import { BackchannelError } from '../token-service/backchannel.ts'
import { BadLogoutToken } from '../token-service/logout-token.ts'
import type { TokenSet } from '../tokens/token-set.ts'

/** One logout by a route of this plugin: `fastify-token-management:logout`. */
export interface LogoutMessage extends Registration {
  /** `app`: somebody logs out here (OpenID Connect RP-Initiated Logout). `provider`: it says that sessions have ended there (Back-Channel Logout). */
  readonly initiator: 'app' | 'provider'
  /** As it ends: `nobody` was logged in. */
  outcome?: 'loggedOut' | 'nobody' | 'failed'
  /** The session that has ended. With `provider` there may be several: `session-ended` tells of each. */
  sessionId?: string
  error?: FastifyError | undefined
}

export const logoutTracing = new Tracing<LogoutMessage, TokenSet | null | void>('logout', {
  done: (ended) => ended === null ? { outcome: 'nobody' } : { outcome: 'loggedOut', ...(ended && { sessionId: ended.sessionId }) },
  failed: (error) => ({ outcome: 'failed', error: codedError(error) })
})

function codedError (error: unknown): FastifyError {
  if (error instanceof BadLogoutToken) return new InvalidParameters(`no logout token of this provider, since ${error.message}`)
  if (isTokenError(error)) return toldError(error)
  return error instanceof BackchannelError ? toldError(errorOf(classifyFailure(error))) : new StoreFailed('end sessions')
}
