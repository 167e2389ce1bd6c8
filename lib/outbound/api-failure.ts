import { ApiTimeout, ApiUnavailable } from '../errors.ts'

const TIMEOUTS = ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']

/** Which error it is where an API gave no answer. */
export function apiFailure (error: unknown): typeof ApiTimeout | typeof ApiUnavailable {
  const isTimeout = error instanceof Error && (error.name === 'TimeoutError' || ('code' in error && TIMEOUTS.includes(String(error.code))))
  return isTimeout ? ApiTimeout : ApiUnavailable
}
