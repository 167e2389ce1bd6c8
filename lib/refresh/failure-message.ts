import type { FastifyError } from 'fastify'
import { isTokenError } from '../errors.ts'
import type { FailureClass } from '../tokens/events.ts'
import { classifyFailure, errorOf, isAnswer, type RefreshFailure } from './failure.ts'
import { toldError } from './told-error.ts'

/** What messages say where the token service was to be asked for a token, and none came. */
export interface FailureMessage {
  /** What the failure means; where nobody was asked, the last one that is remembered. */
  failure?: FailureClass | undefined
  /** Seconds for which this is not asked again: the back-off that has begun, or what is left of it. */
  pauseSeconds?: number | undefined
  error?: FastifyError | undefined
}

/** What became of a token that did not come: the token service has given none, or nobody was asked. */
export type NoToken = 'failed' | 'paused'

/** @param toError - what the caller gets to see. */
export function tellFailure (error: unknown, toError: (failure: RefreshFailure) => FastifyError = errorOf): { readonly outcome: NoToken, readonly error: FastifyError } & FailureMessage {
  // What has gone wrong on the way to the question.
  if (isTokenError(error)) return { outcome: 'failed', error: toldError(error) }
  const failure = classifyFailure(error)
  const { class: kind, wasAsked, retryAfter, pauseSeconds } = failure
  return {
    outcome: wasAsked ? 'failed' : 'paused',
    error: toldError(toError(failure)),
    ...(isAnswer(kind) && { failure: kind, pauseSeconds: wasAsked ? pauseSeconds : retryAfter })
  }
}
