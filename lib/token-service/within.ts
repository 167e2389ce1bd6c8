import { setTimeout as pause } from 'node:timers/promises'

/**
 * What a function of the app gives, if it does so in time: a call to the token service waits for none that never ends.
 *
 * @param timeout - seconds.
 * @param what - for the message.
 */
export async function within<Result> (timeout: number, what: string, task: () => Result | Promise<Result>): Promise<Result> {
  const done = new AbortController()
  try {
    return await Promise.race([task(), expire(timeout, what, done.signal)])
  } finally {
    done.abort()
  }
}

async function expire (timeout: number, what: string, signal: AbortSignal): Promise<never> {
  await pause(timeout * 1000, undefined, { signal })
  throw new Error(`${what} took longer than ${timeout} s`)
}
