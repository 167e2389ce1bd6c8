import type { FastifyReply } from 'fastify'
import { type Dispatcher, errors } from 'undici'
import { ApiTimeout, ApiUnavailable, hasCode } from '../errors.ts'
import type { Api } from '../outbound/api.ts'
import { ApiCall } from '../outbound/api-call.ts'
import type { ApiToken } from '../outbound/api-token.ts'

/** One request of a browser on its way to an API. */
export class ProxiedCall {
  readonly reply: FastifyReply
  /** Had before anything goes out. */
  readonly token: ApiToken | null
  /** Where it becomes a WebSocket, what the API's handshake carries. */
  readonly handshake: Readonly<Record<string, string>> | undefined

  constructor (reply: FastifyReply, token: ApiToken | null, handshake: Readonly<Record<string, string>> | undefined) {
    this.reply = reply
    this.token = token
    this.handshake = handshake
  }
}

/** Where a call rides along in the headers, as no name of a header can: @fastify/reply-from hands these on, and nothing else of ours. */
export const kCall = Symbol('fastify-token-management.proxied-call')

/** The HTTP client of a proxy: what it sends carries the token of the call it belongs to, and ends when the browser goes away. */
export function carrier (api: Api): Dispatcher {
  return api.dispatcher.compose((dispatch) => (options, handler) => {
    const call: unknown = Reflect.get(options.headers ?? {}, kCall)
    if (!(call instanceof ProxiedCall)) throw new Error('A request to an API came to its HTTP client without the call it belongs to')
    const { reply, token } = call
    new ApiCall(api, dispatch, options, handler, (controller) => {
      const abort = () => controller.abort(new errors.RequestAbortedError('The browser is gone'))
      if (reply.raw.destroyed) abort()
      else reply.raw.once('close', abort)
    }).start(async () => token)
    return true
  })
}

const TIMEOUTS = ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']

/** What the browser is told where the API gave no answer. */
export function failureOf (api: Api, { cause }: Error): Error {
  if (hasCode(cause)) return cause
  const isTimeout = cause instanceof Error && 'code' in cause && TIMEOUTS.includes(String(cause.code))
  return isTimeout ? new ApiTimeout(api.name, { cause }) : new ApiUnavailable(api.name, { cause })
}
