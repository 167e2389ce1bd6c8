import { setTimeout as pause } from 'node:timers/promises'
import { BackchannelError } from '../token-service/backchannel.ts'
import { AnswerError } from '../token-service/token-response.ts'
import { isHeldBack } from './held-back.ts'

/** Seconds that one refresh waits in all, and after which it no longer tries again. Real ones: they mean nothing to the session. */
const PATIENCE = 1

/** Seconds before the first try again; doubled at each. */
const FIRST_PAUSE = 0.1

/**
 * Asks again, within one second in all, where that cannot spend a refresh token twice: the request did not leave, or the
 * service says to come back in a moment. What is ambiguous (sent, and no answer) is asked again only for a service with a
 * grace period for reused refresh tokens (RFC 9700 §4.14.2).
 */
export async function askPatiently<Answer> (ask: () => Promise<Answer>, retryAmbiguous: boolean): Promise<Answer> {
  const giveUpAt = performance.now() + PATIENCE * 1000
  let waited = 0
  let next = FIRST_PAUSE
  while (true) {
    try {
      return await ask()
    } catch (error) {
      // It only waits for what comes of somebody else's suspicion.
      if (isHeldBack(error)) continue
      const wait = pauseAfter(error, next, retryAmbiguous)
      if (wait === undefined || waited + wait > PATIENCE || performance.now() > giveUpAt) throw error
      await pause(wait * 1000)
      waited += wait
      next *= 2
    }
  }
}

/** `undefined`: not again. */
function pauseAfter (error: unknown, next: number, retryAmbiguous: boolean): number | undefined {
  if (error instanceof BackchannelError) return error.sent && !retryAmbiguous ? undefined : next
  const isBusy = error instanceof AnswerError && (error.status === 429 || error.status === 503)
  return isBusy && error.retryAfter !== undefined ? Math.max(next, error.retryAfter) : undefined
}
