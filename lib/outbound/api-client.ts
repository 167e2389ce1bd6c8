import type { Dispatcher } from 'undici'
import { hasCode, InvalidParameters } from '../errors.ts'
import type { Api } from './api.ts'
import { authorized } from './api-call.ts'
import type { TokenSource } from './api-token.ts'

/** Calls one API, with the token that its entry in the option `apis` says. */
export interface ApiClient {
  /** Where the API is: the base URL for generated clients. */
  readonly origin: string
  /**
   * A WHATWG fetch: of a path, or an address of this API. It follows no redirect unless `redirect: 'follow'` stands in `init`, and
   * never to another origin. On a 401 the token is renewed once, and the request sent again if its body can be.
   *
   * @throws what `request.accessToken()` or `app.clientAccessToken()` throws where there is no token; FST_TOKEN_FOREIGN_ORIGIN;
   * FST_TOKEN_INVALID_PARAMETERS for an `Authorization` of the caller's own, and for a Request of another fetch; and what fetch throws.
   * @example
   * const response = await request.apiClient('orders').fetch('/orders', { signal: AbortSignal.timeout(5000) })
   */
  readonly fetch: typeof globalThis.fetch
  /**
   * The same as an undici dispatcher, to compose with interceptors; it lives as long as the app.
   *
   * @example
   * const { dispatcher } = request.apiClient('orders')
   * const { body } = await dispatcher.compose(interceptors.retry()).request({ method: 'GET', path: '/orders' })
   */
  readonly dispatcher: Dispatcher
}

export function apiClient (api: Api, source: TokenSource): ApiClient {
  const { origin } = api
  const dispatcher = api.dispatcher.compose(authorized(api, source))
  return { origin, dispatcher, fetch: fetchOver(dispatcher, api) }
}

/** `globalThis.fetch`, since that of undici takes no global Request or FormData. */
function fetchOver (dispatcher: Dispatcher, api: Api): typeof globalThis.fetch {
  return async (input, init) => {
    const target = input instanceof Request ? input : new URL(addressIn(input), api.origin)
    api.check(target instanceof Request ? target.url : target)
    // A Request follows redirects unless its maker has thought of them: that is not to be taken for a wish.
    const redirect = init?.redirect ?? (target instanceof Request && target.redirect === 'error' ? 'error' : 'manual')
    try {
      return await globalThis.fetch(target, Object.assign({}, init, { redirect, dispatcher }))
    } catch (error) {
      throw error instanceof Error && hasCode(error.cause) ? error.cause : error
    }
  }
}

/** What is neither would be a text of some kind, and so a path. */
function addressIn (input: string | URL): string | URL {
  if (typeof input === 'string' || input instanceof URL) return input
  throw new InvalidParameters('fetch takes a path, a URL, or a Request of this process, globalThis.Request; one of undici or another package is none')
}
