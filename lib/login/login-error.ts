import { AuthorizationResponseError, OperationProcessingError } from 'oauth4webapi'
import { LoginFailed, ServiceRefused } from '../errors.ts'
import { classifyFailure, errorOf } from '../refresh/failure.ts'

/** What cannot be redeemed is a 4xx; a token service that is down, or refuses the app, is not the user's fault. */
export function redemptionError (error: unknown): Error {
  if (error instanceof AuthorizationResponseError) return new LoginFailed(`the provider answered ${JSON.stringify(error.error).slice(0, 66)}`)
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
