import type { FastifyError } from 'fastify'
import { hasCode, HeadersSent, LoginRequired, ServiceBadResponse, ServiceRefused, ServiceUnavailable, Unauthenticated } from '../errors.ts'
import { BackchannelError } from '../token-service/backchannel.ts'
import { AnswerError } from '../token-service/token-response.ts'
import type { FailureClass } from '../tokens/events.ts'

/** Why there is no fresh token: what came of asking, or why nobody was asked. */
export type RefreshFailureClass = FailureClass | 'noRefreshToken' | 'spent' | 'headersSent' | 'loggedOut'

/** A refresh that brought no token, and what that means for the session. */
export class RefreshFailure extends Error {
  override name = 'RefreshFailure'
  readonly class: RefreshFailureClass
  /** Seconds that the service wants to be left alone, or that it will be. */
  readonly retryAfter: number | undefined
  /** `false` where the service is left alone: then this is no news of what was to be asked. */
  readonly wasAsked: boolean
  /** Seconds of the back-off that it has begun. */
  pauseSeconds: number | undefined

  constructor (kind: RefreshFailureClass, { cause, retryAfter, wasAsked = isAnswer(kind) }: { cause?: unknown, retryAfter?: number | undefined, wasAsked?: boolean } = {}) {
    super(cause instanceof Error ? cause.message : kind, { cause })
    this.class = kind
    this.retryAfter = retryAfter
    this.wasAsked = wasAsked
  }

  /** Whether the session cannot go on. */
  get endsSession (): boolean {
    return this.class === 'ended' || this.class === 'wrongIdentity' || this.class === 'loggedOut'
  }

  /** Whether it says nothing for long: the service may be better in a moment. */
  get isPassing (): boolean {
    return this.class === 'unavailable' || this.class === 'ambiguous'
  }

  /** Whether the service itself may be down: there was no connection, or no answer, or only a gateway's. */
  get isSuspicious (): boolean {
    const { cause } = this
    if (cause instanceof BackchannelError) return cause.isOfNetwork
    return cause instanceof AnswerError && (cause.status === 502 || cause.status === 504)
  }
}

/** What an error of the token service means for the session, in the answer to the login's own refresh (RFC 6749 §5.2). */
export function classifyFailure (error: unknown): RefreshFailure {
  if (error instanceof RefreshFailure) return error
  if (error instanceof BackchannelError) return new RefreshFailure(error.sent ? 'ambiguous' : 'unavailable', { cause: error })
  if (hasCode(error, 'FST_TOKEN_INVALID_OPTIONS') || isHookFailure(error)) return new RefreshFailure('refused', { cause: error })
  if (error instanceof AnswerError) return new RefreshFailure(classOf(error), { cause: error, retryAfter: error.retryAfter })
  return new RefreshFailure('badResponse', { cause: error })
}

/**
 * What it means where something else was asked for than the login's own token: nothing for the session. Only where the
 * service says that a login helps is one asked for (Entra ID says `invalid_grant` where the consent to another API is missing).
 */
export function ofWish (failure: RefreshFailure): RefreshFailure {
  const { cause } = failure
  const isForUser = failure.class === 'ended' || (cause instanceof AnswerError && wantsUser(cause.error))
  if (failure.class !== 'ended' && failure.class !== 'rejected') return failure
  return new RefreshFailure(isForUser ? 'rejected' : 'refused', { cause })
}

/** Where no user is, there is none whom a login could help. */
export function withoutUser (failure: RefreshFailure): RefreshFailure {
  return failure.class === 'rejected' ? new RefreshFailure('refused', { cause: failure.cause }) : failure
}

/** What the caller of `request.accessToken()` gets to see. */
export function errorOf (failure: RefreshFailure): FastifyError {
  const { cause, message } = failure
  switch (failure.class) {
    case 'ended':
    case 'wrongIdentity':
      return new LoginRequired(`the session has ended (${message})`, { cause })
    case 'rejected':
      return new LoginRequired(`the token service refuses to go on without one (${message})`, { cause })
    case 'spent':
      return new LoginRequired('the refresh token of this session was spent already, and what came of it is not known any more')
    case 'noRefreshToken':
      return new LoginRequired('the access token has expired, and there is no refresh token')
    case 'loggedOut':
      return new Unauthenticated()
    /* c8 ignore next 2 -- the store is asked first, and says why */
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

/** What is about this app, its registration or its clock, and not about the token that was presented. */
const ABOUT_CLIENT: ReadonlySet<string> = new Set(['invalid_client', 'incorrect_client_credentials', 'unsupported_grant_type', 'use_dpop_nonce', 'invalid_dpop_proof'])

/** The service is busy, whatever the status is. */
const PASSING: ReadonlySet<string> = new Set(['temporarily_unavailable', 'server_error', 'slow_down'])

function classOf ({ status, error, wrongIdentity, isRefusal }: AnswerError): FailureClass {
  if (wrongIdentity) return 'wrongIdentity'
  if (status === 408 || status === 429 || status >= 500) return 'unavailable'
  if (error !== undefined) {
    if (PASSING.has(error)) return 'unavailable'
    if (INVALID_GRANT.has(error)) return 'ended'
    return ABOUT_CLIENT.has(error) ? 'refused' : 'rejected'
  }
  if (status === 400 || status === 401 || status === 403 || (isRefusal && status < 400)) return 'rejected'
  return status >= 400 ? 'refused' : 'badResponse'
}

/** OpenID Connect Core §3.1.2.6: `login_required`, `interaction_required`, `consent_required`… */
function wantsUser (error: string | undefined): boolean {
  return error?.endsWith('_required') ?? false
}

/** Whether it says what came of asking. */
export function isAnswer (kind: RefreshFailureClass): kind is FailureClass {
  return kind !== 'noRefreshToken' && kind !== 'spent' && kind !== 'headersSent' && kind !== 'loggedOut'
}

/** What a function of the app has done wrong is no refusal of the token service, though as little of the user's making. */
function isHookFailure (error: unknown): error is FastifyError {
  return hasCode(error, 'FST_TOKEN_HOOK_FAILED')
}
