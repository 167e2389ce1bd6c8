import { Dispatcher } from 'undici'
import { InvalidOptions } from '../errors.ts'

/**
 * Whether requests can be sent over the app's own dispatcher. One of another copy of undici is asked: a request without a
 * path leaves no process, and versions before 7 do not even know how to refuse it.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS
 */
export function checkDispatcher (dispatcher: Pick<Dispatcher, 'dispatch'> & { readonly compose?: unknown }, option = 'backchannel'): void {
  if (dispatcher instanceof Dispatcher) return
  try {
    if (typeof dispatcher.compose !== 'function') throw new TypeError('it has no compose()')
    const ignore = () => {}
    dispatcher.dispatch({ origin: 'http://127.0.0.1', path: '', method: 'GET' },
      { onRequestStart: ignore, onResponseStart: ignore, onResponseData: ignore, onResponseEnd: ignore, onResponseError: ignore })
  } catch (error) {
    throw new InvalidOptions(`${option} is no Dispatcher of undici 7 or later. Make it with that version${option === 'backchannel' ? ', or give the options of an Agent instead' : ''}`, { cause: error })
  }
}
