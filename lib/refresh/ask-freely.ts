import type { ServiceBackOff } from './back-off.ts'
import { classifyFailure, RefreshFailure } from './failure.ts'
import { askPatiently } from './retry.ts'

/**
 * Asks the token service for what costs nothing but a request: it may be sent again where its answer was lost, and no
 * answer ends a session.
 *
 * @throws RefreshFailure
 */
export async function askFreely<Answer> (service: ServiceBackOff, ask: () => Promise<Answer>): Promise<Answer> {
  service.enter()
  try {
    const answer = await askPatiently(ask, true)
    service.answered()
    return answer
  } catch (error) {
    const failure = harmless(classifyFailure(error))
    if (failure.class === 'unavailable' || failure.class === 'ambiguous') service.failed(failure.retryAfter)
    else service.answered()
    throw failure
  }
}

/** `invalid_grant` is about what was presented this time, and an id_token that came along is nobody's. */
function harmless (failure: RefreshFailure): RefreshFailure {
  const { cause } = failure
  if (failure.class === 'ended') return new RefreshFailure('refused', { cause })
  return failure.class === 'wrongIdentity' ? new RefreshFailure('badResponse', { cause }) : failure
}
