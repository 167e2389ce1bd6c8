import { type Dispatcher, errors } from 'undici'
import { type ApiMessage, apiTracing } from './api-message.ts'

/** Traces a call whose answer comes by a handler. */
export function tracedCall (message: ApiMessage, handler: Dispatcher.DispatchHandler, send: (handler: Dispatcher.DispatchHandler) => void): void {
  if (!apiTracing.isWatched) return send(handler)
  const call = () => new Promise<{ readonly statusCode: number }>((resolve, reject) => {
    const isKnown = (statusCode: number): void => { if (statusCode >= 200 || statusCode === 101) resolve({ statusCode }) }
    send({
      onRequestStart: (...start) => { handler.onRequestStart?.(...start) },
      onRequestUpgrade: (controller, statusCode, ...upgrade) => {
        isKnown(statusCode)
        handler.onRequestUpgrade?.(controller, statusCode, ...upgrade)
      },
      onResponseStart: (controller, statusCode, ...start) => {
        isKnown(statusCode)
        handler.onResponseStart?.(controller, statusCode, ...start)
      },
      onResponseData: (...data) => { handler.onResponseData?.(...data) },
      onResponseEnd: (...end) => { handler.onResponseEnd?.(...end) },
      onResponseError: (controller, error) => {
        reject(isGivenUp(controller, error) ? new errors.RequestAbortedError() : error)
        handler.onResponseError?.(controller, error)
      }
    })
  })
  apiTracing.trace(message, call).catch(() => { /* The handler is told. */ })
}

/**
 * Whether the caller has aborted it: with a reason of its own, which says nothing of the API; but that its time is up does.
 *
 * @param controller - there is none where there was no connection.
 */
function isGivenUp (controller: Dispatcher.DispatchController | undefined, error: Error): boolean {
  return error === controller?.reason && error.name !== 'TimeoutError'
}
