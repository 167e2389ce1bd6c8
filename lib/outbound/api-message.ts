import type { FastifyError } from 'fastify'
import { Tracing } from '../diagnostics.ts'
import { isTokenError } from '../errors.ts'
import { toldError } from '../refresh/told-error.ts'
import type { Api } from './api.ts'
import { apiFailure } from './api-failure.ts'

/** One call to an API of the option `apis`, until its status is known: `fastify-token-management:api`. */
export interface ApiMessage {
  /** The name of the registration that declares the API. */
  readonly provider: string
  /** The name of the API. */
  readonly api: string
  readonly method: string
  readonly origin: string
  /** Whether the API has rejected the token, and another one was asked for. */
  renewed?: boolean
  /** This, and what follows, as it ends. `aborted`: whoever wanted the answer went away before it came. */
  outcome?: 'answered' | 'failed' | 'aborted'
  /** The status that the caller gets. */
  status?: number
  error?: FastifyError | undefined
}

export const apiTracing = new Tracing<ApiMessage, { readonly statusCode: number }>('api', {
  done: ({ statusCode }) => ({ outcome: 'answered', status: statusCode }),
  // Without its cause: an error of the parser has in it what was answered.
  failed: (error, { api }) => ({ outcome: isAbort(error) ? 'aborted' : 'failed', error: isTokenError(error) ? toldError(error) : new (apiFailure(error))(api) })
})

export function apiMessage ({ provider, name: api, origin }: Api, method: string): ApiMessage {
  return { provider, api, method, origin }
}

function isAbort (error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
