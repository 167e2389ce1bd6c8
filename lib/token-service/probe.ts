import type { Dispatcher } from 'undici'
import { callBackchannel } from './backchannel.ts'

/** Seconds. */
const TIMEOUT = 1

/** Whether an endpoint answers at all: by a GET without parameters or credentials, which spends nothing. */
export async function answersAtAll (endpoint: string, dispatcher: Dispatcher): Promise<boolean> {
  try {
    const { status } = await callBackchannel(dispatcher, TIMEOUT, endpoint, { method: 'GET', headers: { accept: 'application/json' } })
    return status < 500
  } catch {
    return false
  }
}
