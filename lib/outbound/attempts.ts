import type { Dispatcher } from 'undici'
import type { Api } from './api.ts'
import type { ApiMessage } from './api-message.ts'
import type { ApiToken } from './api-token.ts'
import { demandOf } from './challenge.ts'
import { RepeatableBody } from './repeatable-body.ts'
import { withCredentials } from './request-headers.ts'

/** An API that wants another nonce each time is asked so often again. */
const MAX_NONCES = 3

/** What an API has answered, as far as it matters here. */
export interface Answer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/**
 * One request to an API, as often as it is sent: where the API rejects the token, that is renewed once and the request sent once
 * more, if its body can be (RFC 6750 §3.1); and again with its nonce where it wants that in the proof (RFC 9449 §9).
 */
export class Attempts<Options extends Dispatcher.DispatchOptions> {
  readonly #api: Api
  readonly #options: Options
  readonly #message: ApiMessage
  readonly #body: RepeatableBody | undefined
  #token: ApiToken | null
  #nonce: string | undefined
  #isFirst = true
  #isRenewed = false
  #nonces = 0

  /** @param message - what is said of it. */
  constructor (api: Api, options: Options, token: ApiToken | null, message: ApiMessage) {
    this.#api = api
    this.#options = options
    this.#body = options.body === undefined || options.body === null ? undefined : new RepeatableBody(options.body)
    this.#token = token
    this.#message = message
  }

  /** What is sent this time. */
  async next (): Promise<Options> {
    const body = this.#isFirst ? this.#body?.first : this.#body?.again
    this.#isFirst = false
    const { headers } = this.#options
    return {
      ...this.#options,
      origin: this.#api.origin,
      body,
      headers: this.#token === null ? headers : withCredentials(headers, await this.#credentials(this.#token))
    }
  }

  /** Whether there is to be another attempt after this answer, which nobody gets to see then; a function that prepares it. */
  after ({ statusCode, headers }: Answer): (() => Promise<void>) | undefined {
    const token = this.#token
    if (token === null) return undefined
    const nonce = token.tokenType === 'DPoP' ? [headers['dpop-nonce'] ?? []].flat()[0] : undefined
    if (nonce !== undefined) token.keepNonce(new URL(this.#api.origin), nonce)
    if (statusCode !== 401) return undefined
    const demand = demandOf(headers['www-authenticate'])
    if (demand === 'renewal' && this.#isRenewed) this.#api.renewedInVain(token.accessToken)
    if (demand === 'nothing' || this.#body?.isRepeatable === false) return undefined
    return demand === 'nonce' ? this.#withNonce(nonce) : this.#renewed(token)
  }

  #withNonce (nonce: string | undefined): (() => Promise<void>) | undefined {
    if (nonce === undefined || nonce === this.#nonce || this.#nonces === MAX_NONCES) return undefined
    this.#nonces++
    this.#nonce = nonce
    return async () => {}
  }

  #renewed (token: ApiToken): (() => Promise<void>) | undefined {
    if (this.#isRenewed || this.#api.isHopeless(token.accessToken)) return undefined
    this.#isRenewed = this.#message.renewed = true
    return async () => { this.#token = await token.renewed() }
  }

  async #credentials ({ tokenType, accessToken, proof }: ApiToken): Promise<Record<string, string>> {
    const authorization = `${tokenType} ${accessToken}`
    if (tokenType === 'Bearer') return { authorization }
    const { method: htm, path } = this.#options
    return { authorization, dpop: await proof({ htm, htu: this.#api.origin + path, nonce: this.#nonce }) }
  }
}
