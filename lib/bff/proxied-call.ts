import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Dispatcher, errors } from 'undici'
import { hasCode } from '../errors.ts'
import type { Api } from '../outbound/api.ts'
import { apiFailure } from '../outbound/api-failure.ts'
import { type ApiMessage, apiMessage, apiTracing } from '../outbound/api-message.ts'
import type { ApiToken } from '../outbound/api-token.ts'
import { Attempts } from '../outbound/attempts.ts'
import { Departure } from './departure.ts'
import { type Places, towardsApi, towardsBrowser } from './proxied-headers.ts'

/** What is read of a 401 that the browser does not get to see, so that its connection can be used again. */
const MAX_DRAINED_BYTES = 65_536

/** An answer of a known length, and no more than that, is no stream to anybody. */
const SMALL_BYTES = 16_384

export interface ProxySettings {
  readonly api: Api
  readonly places: Places
  /** Whether `Set-Cookie` of the API reaches the browser. */
  readonly setCookie: boolean
}

/** One request of a browser on its way to an API. */
export class ProxiedCall {
  readonly #settings: ProxySettings
  /** Had before anything goes out. */
  readonly #token: ApiToken | null
  /** Where it becomes a WebSocket, what the API's handshake carries. */
  readonly handshake: Readonly<Record<string, string>> | undefined

  constructor (settings: ProxySettings, token: ApiToken | null, handshake?: Readonly<Record<string, string>>) {
    this.#settings = settings
    this.#token = token
    this.handshake = handshake
  }

  /**
   * Sends the request, and the answer back.
   *
   * @param path - at the API.
   * @throws FST_TOKEN_API_UNAVAILABLE, FST_TOKEN_API_TIMEOUT, and what a renewed token throws
   */
  async forward (request: FastifyRequest, reply: FastifyReply, path: string): Promise<FastifyReply> {
    const { api, places, setCookie } = this.#settings
    const { method, body, url, raw } = request
    const query = url.indexOf('?')
    const browser = new Departure(request, reply)
    try {
      const message = apiMessage(api, method)
      const answer = await apiTracing.trace(message, () => this.#answer(browser, message, {
        origin: api.origin,
        path: query === -1 ? path : path + url.slice(query),
        method,
        headers: towardsApi(request),
        body: body instanceof Readable ? body : null
      }))
      const payload = isSmall(method, answer) ? await answer.body.bytes() : answer.body
      reply.code(answer.statusCode).headers(towardsBrowser(answer.headers, { places, url, passesCookies: setCookie, isPersonal: this.#token !== null }))
      // What is left of a body would be taken for the next request.
      if (!raw.complete && raw.httpVersionMajor === 1) reply.header('connection', 'close')
      return reply.send(payload)
    } catch (error) {
      if (!browser.isGone) throw failureOf(api, error)
      request.log.debug({ err: error }, 'The browser was gone before the API had answered')
      return reply.hijack()
    }
  }

  /** What the API answers; the request is sent again where that helps, and given up when the browser goes away. */
  async #answer (browser: Departure, message: ApiMessage, options: Dispatcher.RequestOptions<null>): Promise<Dispatcher.ResponseData<null>> {
    const { api } = this.#settings
    const attempts = new Attempts(api, { ...options, signal: browser }, this.#token, message)
    for (;;) {
      const next = await attempts.next()
      if (browser.isGone) throw new errors.RequestAbortedError('The browser is gone')
      const answer = await api.dispatcher.request(next)
      const prepare = attempts.after(answer)
      if (prepare === undefined) return answer
      await answer.body.dump({ limit: MAX_DRAINED_BYTES })
      await prepare()
    }
  }
}

/** Whether the whole of an answer is best waited for: it takes one write then, and half of the work that a stream takes. */
function isSmall (method: string, { statusCode, headers }: Dispatcher.ResponseData<null>): boolean {
  return Number(headers['content-length']) <= SMALL_BYTES && headers['content-type'] !== undefined && method !== 'HEAD' && statusCode !== 304
}

/** What the browser is told where the API gave no answer. */
function failureOf ({ name }: Api, cause: unknown): unknown {
  return hasCode(cause) ? cause : new (apiFailure(cause))(name, { cause })
}
