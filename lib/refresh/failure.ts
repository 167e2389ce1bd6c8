import type { FastifyError } from 'fastify'
import { hasCode, HeadersSent, LoginRequired, ServiceBadResponse, ServiceRefused, ServiceUnavailable, Unauthenticated } from '../errors.ts'
import type { FailureClass } from '../tokens/events.ts'
import { BackchannelError } from '../token-service/backchannel.ts'
import { AnswerError } from '../token-service/token-response.ts'

/** Why there is no fresh token: what came of asking, or why nobody was asked. */
export type RefreshFailureClass = FailureClass | 'noRefreshToken' | 'headersSent' | 'loggedOut'

/** A refresh that brought no token, and what that means for the session. */
export class RefreshFailure extends Error {
  override name = 'RefreshFailure'
  readonly class: RefreshFailureClass
  /** Seconds that the service wants to be left alone, or that it will be. */
  readonly retryAfter: number | undefined

  constructor (kind: RefreshFailureClass, { cause, retryAfter }: { cause?: unknown, retryAfter?: number | undefined } = {}) {
    super(cause instanceof Error ? cause.message : kind, { cause })
    this.class = kind
    this.retryAfter = retryAfter
  }

  /** Only a dead refresh token takes a token away that is still valid. */
  get endsSession (): boolean {
    return this.class === 'ended' || this.class === 'wrongIdentity' || this.class === 'loggedOut'
  }
}

/** What an error of the token service means for the session (RFC 6749 §5.2). */
export function classifyFailure (error: unknown): RefreshFailure {
  if (error instanceof RefreshFailure) return error
  if (error instanceof BackchannelError) return new RefreshFailure(error.sent ? 'ambiguous' : 'unavailable', { cause: error })
  if (hasCode(error, 'FST_TOKEN_INVALID_OPTIONS') || isHookFailure(error)) return new RefreshFailure('refused', { cause: error })
  if (error instanceof AnswerError) return new RefreshFailure(classOf(error), { cause: error, retryAfter: error.retryAfter })
  return new RefreshFailure('badResponse', { cause: error })
}

/** What the caller of `request.accessToken()` gets to see. */
export function errorOf (failure: RefreshFailure): FastifyError {
  const { cause, message } = failure
  switch (failure.class) {
    case 'ended':
    case 'wrongIdentity':
    case 'rejected':
      return new LoginRequired(message, { cause })
    case 'noRefreshToken':
      return new LoginRequired('the access token has expired, and there is no refresh token')
    case 'loggedOut':
      return new Unauthenticated()
    case 'headersSent':
      return new HeadersSent()
    case 'unavailable':
    case 'ambiguous': {
      const seconds = Math.max(1, Math.ceil(failure.retryAfter ?? 1))
      return Object.assign(new ServiceUnavailable(seconds, { cause }), { headers: { 'retry-after': String(seconds) } })
    }
    case 'refused':
      return isHookFailure(cause) ? cause : new ServiceRefused(message, { cause })
    case 'badResponse':
      return new ServiceBadResponse(message, { cause })
  }
}

/** The standard's name, and what GitHub says in its place. */
const INVALID_GRANT: ReadonlySet<string> = new Set(['invalid_grant', 'bad_refresh_token', 'bad_verification_code'])

function classOf ({ status, error, wrongIdentity }: AnswerError): FailureClass {
  if (wrongIdentity) return 'wrongIdentity'
  if (status === 408 || status === 429 || status >= 500 || error === 'temporarily_unavailable' || error === 'server_error') return 'unavailable'
  if (error !== undefined && INVALID_GRANT.has(error)) return 'ended'
  // OpenID Connect Core §3.1.2.6: the user is asked for, and nothing is wrong with the app.
  if (error?.endsWith('_required')) return 'rejected'
  if (error !== undefined) return 'refused'
  if (status === 400 || status === 401 || status === 403) return 'rejected'
  return status >= 400 ? 'refused' : 'badResponse'
}

/** Whether the token service was asked. */
export function isAnswer (kind: RefreshFailureClass): kind is FailureClass {
  return kind !== 'noRefreshToken' && kind !== 'headersSent' && kind !== 'loggedOut'
}

/** What a function of the app has done wrong is no refusal of the token service, though as little of the user's making. */
function isHookFailure (error: unknown): error is FastifyError {
  return hasCode(error, 'FST_TOKEN_HOOK_FAILED')
}
