import type { FastifyError, FastifyRequest } from 'fastify'
import { AuthorizationResponseError, OperationProcessingError } from 'oauth4webapi'
import { LoginFailed, ServiceRefused } from '../errors.ts'
import { classifyFailure, errorOf } from '../refresh/failure.ts'

/** What else is known of a login that failed. */
export interface FailedLogin extends FastifyError {
  /** The `error` that the provider has sent the browser back with (RFC 6749 §4.1.2.1). */
  readonly providerError?: string
  /** This browser holds no such login. */
  readonly isUnknown?: boolean
}

/** What cannot be redeemed is a 4xx; a token service that is down, or refuses the app, is not the user's fault. */
export function redemptionError (error: unknown): FailedLogin {
  if (error instanceof AuthorizationResponseError) {
    const failed = new LoginFailed(`the provider answered ${JSON.stringify(error.error).slice(0, 66)}`)
    return /^[\w.-]{1,64}$/.test(error.error) ? Object.assign(failed, { providerError: error.error }) : failed
  }
  if (error instanceof OperationProcessingError) return new LoginFailed(error.message)
  const failure = classifyFailure(error)
  switch (failure.class) {
    case 'unavailable':
    case 'ambiguous':
    case 'refused':
      return errorOf(failure)
    default:
      return new LoginFailed(failure.message, { cause: failure.cause })
  }
}

/** There is nothing in this browser that the callback could belong to. */
export function notStartedHere ({ host }: FastifyRequest): FailedLogin {
  const safeHost = /^[\w.:[\]-]{1,255}$/.test(host) ? host : 'this one'
  return Object.assign(new LoginFailed(`this browser has not started it at ${safeHost}, has finished it already, or took longer than ten minutes`), { isUnknown: true })
}

/** An authorization request that could not be pushed: nobody is logged in yet who could have done anything wrong. */
export function pushError (error: unknown): Error {
  const failure = classifyFailure(error)
  switch (failure.class) {
    case 'unavailable':
    case 'ambiguous':
    case 'badResponse':
      return errorOf(failure)
    default:
      return new ServiceRefused(`the pushed authorization request: ${failure.message}`, { cause: failure.cause })
  }
}
