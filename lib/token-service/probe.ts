import type { Dispatcher } from 'undici'
import { callBackchannel } from './backchannel.ts'

/** Seconds. */
const TIMEOUT = 1

/** What a gateway says of a service that it does not reach. */
const UNREACHABLE: ReadonlySet<number> = new Set([502, 503, 504])

/** Whether an endpoint answers at all, be it that it wants no GET: one without parameters or credentials spends nothing. */
export async function answersAtAll (endpoint: string, dispatcher: Dispatcher): Promise<boolean> {
  try {
    const { status } = await callBackchannel(dispatcher, TIMEOUT, endpoint, { method: 'GET', headers: { accept: 'application/json' } })
    return !UNREACHABLE.has(status)
  } catch {
    return false
  }
}
