import { setTimeout as pause } from 'node:timers/promises'

/** Seconds that a request may wait for a new token while it has one that is still good. Real ones: they mean nothing to the session. */
const PATIENCE = 1

/**
 * Whether what is coming takes longer than those can be kept waiting who can do without it.
 *
 * @param since - when it was begun, by `performance.now()`.
 */
export async function takesLong (coming: Promise<unknown>, since: number): Promise<boolean> {
  const isHere = new AbortController()
  const here = coming.then(() => false, () => false).finally(() => isHere.abort())
  const late = pause(Math.max(0, since + PATIENCE * 1000 - performance.now()), true, { signal: isHere.signal })
  return await Promise.race([here, late.catch(() => false)])
}
