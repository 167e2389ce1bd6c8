import { DecoratorHandler, type Dispatcher } from 'undici'
import { BackchannelError } from '../token-service/backchannel.ts'

const CODE = 'TOKEN_SERVICE_PAUSES'

/**
 * A dispatcher whose requests look once more before they leave: those that have waited for a connection are held back where
 * the service is not known to be well any more. They are not sent then, and have spent nothing.
 *
 * @param mayLeave - is told since when it has waited, in milliseconds of this machine.
 */
export function leavingOnlyIf (mayLeave: (since: number) => boolean, dispatcher: Dispatcher): Dispatcher {
  return dispatcher.compose((dispatch) => (options, handler) => {
    const since = performance.now()
    const looking: Dispatcher.DispatchHandler = new DecoratorHandler(handler)
    const forward = looking.onRequestStart?.bind(looking)
    looking.onRequestStart = (controller, context) => {
      if (mayLeave(since)) forward?.(controller, context)
      else controller.abort(Object.assign(new Error('the token service is left alone at the moment'), { code: CODE }))
    }
    return dispatch(options, looking)
  })
}

/** Whether a request failed only because it was held back. */
export function isHeldBack (error: unknown): boolean {
  return error instanceof BackchannelError && !error.sent && error.cause instanceof Error && 'code' in error.cause && error.cause.code === CODE
}
