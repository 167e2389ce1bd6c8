import type { FastifyError } from 'fastify'
import { BackchannelError } from '../token-service/backchannel.ts'
import { AnswerError } from '../token-service/token-response.ts'

/** An error as messages have it: with what the token service has done, and without what functions and stores of the app have thrown, which may hold anything. */
export function toldError (error: FastifyError): FastifyError {
  if (error.cause === undefined) return error
  const { cause, ...said } = error
  return Object.assign(new Error(error.message, { cause: toldCause(cause) }), said, { stack: error.stack })
}

function toldCause (cause: unknown): Error | undefined {
  if (cause instanceof AnswerError) return new AnswerError(cause.message, { ...cause })
  if (cause instanceof BackchannelError) return new BackchannelError(cause.message, cause.sent, undefined, cause.isOfNetwork)
  return undefined
}
