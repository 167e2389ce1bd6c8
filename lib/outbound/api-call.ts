import type { Dispatcher } from 'undici'
import type { Api } from './api.ts'
import type { ApiToken, TokenSource } from './api-token.ts'
import { demandOf } from './challenge.ts'
import { RepeatableBody } from './repeatable-body.ts'
import { withCredentials } from './request-headers.ts'

/** An API that wants another nonce each time is asked so often again. */
const MAX_NONCES = 3

/** What is read of a 401 that nobody gets to see, so that its connection can be used again. */
const MAX_DRAINED_BYTES = 65_536

type Handler = Dispatcher.DispatchHandler
type Controller = Dispatcher.DispatchController
/** Gets hold of each request as it leaves. */
export type Watch = (controller: Controller) => void
/** Under which circumstances a call is sent again. */
type Again = { readonly token: ApiToken, readonly nonce?: string }

/**
 * Gives every request of a dispatcher the token of one API. Where the API rejects that, it is renewed once and the request is
 * sent once more, if its body can be (RFC 6750 §3.1); and again with its nonce where it wants that in the proof (RFC 9449 §9).
 */
export function authorized (api: Api, source: TokenSource): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    new ApiCall(api, dispatch, options, handler).start(source)
    return true
  }
}

/** One request, as often as it is sent. Whoever has sent it sees one answer. */
export class ApiCall {
  readonly #api: Api
  readonly #dispatch: Dispatcher.Dispatch
  readonly #options: Dispatcher.DispatchOptions
  readonly #handler: Handler
  readonly #watch: Watch | undefined
  readonly #body: RepeatableBody
  #isRenewed = false
  #nonces = 0

  constructor (api: Api, dispatch: Dispatcher.Dispatch, options: Dispatcher.DispatchOptions, handler: Handler, watch?: Watch) {
    this.#api = api
    this.#watch = watch
    this.#dispatch = dispatch
    this.#options = options
    this.#handler = handler
    this.#body = new RepeatableBody(options.body)
  }

  start (source: TokenSource): void {
    this.#orFail(async () => {
      this.#api.check(this.#options.origin ?? '')
      // An absolute one is what an HTTP proxy is asked for, and leads elsewhere.
      if (!this.#options.path.startsWith('/')) this.#api.check(this.#options.path)
      const token = await source()
      if (token === null) this.#send(this.#options, null)
      else await this.#sendWith({ token })
    })
  }

  async #sendWith ({ token, nonce }: Again): Promise<void> {
    const { path, method, headers } = this.#options
    const credentials = { authorization: `${token.tokenType} ${token.accessToken}` }
    const proof = token.tokenType === 'DPoP' && { dpop: await token.proof({ htm: method, htu: this.#api.origin + path, nonce }) }
    this.#send({ ...this.#options, headers: withCredentials(headers, { ...credentials, ...proof }) }, token, nonce)
  }

  #send (options: Dispatcher.DispatchOptions, token: ApiToken | null, nonce?: string): void {
    const isFirst = !this.#isRenewed && this.#nonces === 0
    this.#dispatch({ ...options, origin: this.#api.origin, body: isFirst ? this.#body.first : this.#body.again }, this.#attempt(token, nonce))
  }

  /** Passes on what comes, unless the request is to be sent again. */
  #attempt (token: ApiToken | null, nonce: string | undefined): Handler {
    const handler = this.#handler
    let again: (() => Promise<Again>) | undefined
    let drained = 0
    const isOver = (): boolean => {
      if (again === undefined) return true
      const next = again
      this.#orFail(async () => { await this.#sendWith(await next()) })
      return false
    }
    return {
      onRequestStart: (controller: Controller, context: unknown) => {
        this.#body.watch()
        handler.onRequestStart?.(controller, context)
        this.#watch?.(controller)
      },
      onRequestUpgrade: (...upgrade) => handler.onRequestUpgrade?.(...upgrade),
      onResponseStart: (controller, statusCode, headers, statusMessage) => {
        again = token === null ? undefined : this.#again(token, nonce, statusCode, headers)
        if (again === undefined) handler.onResponseStart?.(controller, statusCode, headers, statusMessage)
      },
      onResponseData: (controller, chunk) => {
        if (again === undefined) return handler.onResponseData?.(controller, chunk)
        drained += chunk.length
        if (drained > MAX_DRAINED_BYTES) controller.abort(new Error('Nobody reads the answer'))
      },
      onResponseEnd: (...end) => { if (isOver()) handler.onResponseEnd?.(...end) },
      onResponseError: (...failure) => { if (isOver()) handler.onResponseError?.(...failure) }
    }
  }

  /** How the call goes on after this answer; `undefined`: with this answer. */
  #again (token: ApiToken, usedNonce: string | undefined, statusCode: number, headers: Record<string, string | string[] | undefined>): (() => Promise<Again>) | undefined {
    const nonce = token.tokenType === 'DPoP' ? [headers['dpop-nonce'] ?? []].flat()[0] : undefined
    if (nonce !== undefined) token.keepNonce(new URL(this.#api.origin), nonce)
    const demand = statusCode === 401 ? demandOf(headers['www-authenticate']) : 'nothing'
    if (demand === 'renewal' && this.#isRenewed) this.#api.renewedInVain(token.accessToken)
    if (demand === 'nothing' || !this.#body.isRepeatable) return undefined
    if (demand === 'nonce') {
      if (nonce === undefined || nonce === usedNonce || this.#nonces === MAX_NONCES) return undefined
      this.#nonces++
      return async () => ({ token, nonce })
    }
    if (this.#isRenewed || this.#api.isHopeless(token.accessToken)) return undefined
    this.#isRenewed = true
    return async () => ({ token: await token.renewed() })
  }

  /** What fails here is an answer to whoever has asked, and never an unhandled rejection. */
  #orFail (act: () => Promise<void>): void {
    act().catch((error: unknown) => {
      this.#handler.onResponseError?.(NOT_SENT, error instanceof Error ? error : new Error('unknown'))
    })
  }
}

/** There is no request yet, or no more, that could be controlled. */
const NOT_SENT: Controller = { aborted: true, paused: false, reason: null, abort () {}, pause () {}, resume () {} }
