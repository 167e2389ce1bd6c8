import type { Dispatcher } from 'undici'
import type { Api } from './api.ts'
import { apiMessage } from './api-message.ts'
import type { TokenSource } from './api-token.ts'
import { Attempts } from './attempts.ts'
import { tracedCall } from './traced-call.ts'

/** What is read of a 401 that nobody gets to see, so that its connection can be used again. */
const MAX_DRAINED_BYTES = 65_536

/** Gives every request of a dispatcher the token of one API, and sends it again where that helps. Whoever has sent it sees one answer. */
export function authorized (api: Api, source: TokenSource): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const message = apiMessage(api, options.method)
    tracedCall(message, handler, (handler) => {
      const orFail = (act: () => Promise<void>): void => {
        act().catch((error: unknown) => { handler.onResponseError?.(NOT_SENT, error instanceof Error ? error : new Error('unknown')) })
      }
      const send = async (attempts: Attempts<Dispatcher.DispatchOptions>): Promise<void> => {
        dispatch(await attempts.next(), watched(handler, attempts, (prepare) => {
          orFail(async () => {
            await prepare()
            await send(attempts)
          })
        }))
      }
      orFail(async () => {
        api.check(options.origin ?? api.origin)
        // An absolute one is what an HTTP proxy is asked for, and leads elsewhere.
        if (!options.path.startsWith('/')) api.check(options.path)
        await send(new Attempts(api, options, await source(), message))
      })
    })
    return true
  }
}

/** Passes on what comes, unless the request is to be sent again. */
function watched (handler: Dispatcher.DispatchHandler, attempts: Attempts<Dispatcher.DispatchOptions>, again: (prepare: () => Promise<void>) => void): Dispatcher.DispatchHandler {
  let prepare: (() => Promise<void>) | undefined
  let drained = 0
  return {
    onRequestStart: (...start) => { handler.onRequestStart?.(...start) },
    onRequestUpgrade: (...upgrade) => { handler.onRequestUpgrade?.(...upgrade) },
    onResponseStart: (controller, statusCode, headers, statusMessage) => {
      prepare = attempts.after({ statusCode, headers })
      if (prepare === undefined) handler.onResponseStart?.(controller, statusCode, headers, statusMessage)
    },
    onResponseData: (controller, chunk) => {
      if (prepare === undefined) return handler.onResponseData?.(controller, chunk)
      drained += chunk.length
      if (drained > MAX_DRAINED_BYTES) controller.abort(new Error('Nobody reads the answer'))
    },
    onResponseEnd: (...end) => { prepare === undefined ? handler.onResponseEnd?.(...end) : again(prepare) },
    onResponseError: (...failure) => { prepare === undefined ? handler.onResponseError?.(...failure) : again(prepare) }
  }
}

/** There is no request yet, or no more, that could be controlled. */
const NOT_SENT: Dispatcher.DispatchController = { aborted: true, paused: false, reason: null, abort () {}, pause () {}, resume () {} }
