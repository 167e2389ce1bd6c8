import type { FastifyInstance, FastifyRequest } from 'fastify'
import { CrossSite, CsrfHeaderMissing } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { Provider } from '../provider.ts'
import { isFromOwnOrigin, isFromOwnPage } from '../request/own-origin.ts'
import { isOwnRoute } from '../request/own-route.ts'

/** @throws FST_TOKEN_CSRF_HEADER, FST_TOKEN_CROSS_SITE */
export type CsrfCheck = (request: FastifyRequest) => void

const kCsrfCheck = Symbol('fastify-token-management.csrf-check')

/** The check that all providers of one context share; with the first comes `app.requireCsrfHeader`. */
export function csrfCheckOf (fastify: FastifyInstance, { csrfHeader }: CheckedOptions['bff'], providers: ReadonlyMap<string, Provider>): CsrfCheck {
  if (!fastify.hasDecorator(kCsrfCheck)) {
    const check = csrfCheck(csrfHeader, providers)
    fastify.decorate(kCsrfCheck, check)
    fastify.decorate('requireCsrfHeader', async (request: FastifyRequest) => {
      // The hook of a whole app must not close the way to the login, which begins and ends elsewhere.
      if (!isOwnRoute(request)) check(request)
    })
  }
  return fastify.getDecorator<CsrfCheck>(kCsrfCheck)
}

/** The check of the context around, without the hook. */
export function csrfCheckIn (fastify: FastifyInstance): CsrfCheck {
  return fastify.getDecorator<CsrfCheck>(kCsrfCheck)
}

/**
 * No other site may use a browser's session: its pages cannot set a header without being asked first (CORS), and browsers say where a
 * request comes from (Fetch Metadata). On EventSource and WebSockets nobody can set a header: a GET of the own origin, as
 * the browser says, goes without it, and a handshake has to name the own `Origin`.
 *
 * @param header - as it is to be sent, `X-CSRF: 1`.
 * @see draft-ietf-oauth-browser-based-apps §6.1.3.3.3
 */
function csrfCheck (header: string, providers: ReadonlyMap<string, Provider>): CsrfCheck {
  const [name = '', value] = header.split(': ')
  return (request) => {
    const { method, headers } = request
    const callbacks = [...providers.values()].map(({ callbackOrigin }) => callbackOrigin)
    if (headers.upgrade !== undefined) {
      if (isFromOwnOrigin(request, callbacks)) return
      throw new CrossSite('this handshake')
    }
    const { 'sec-fetch-site': site, origin } = headers
    // Older browsers, and connections in clear: there a page's own GET says nothing of where it comes from.
    const saysNothing = site === undefined && origin === undefined && ['GET', 'HEAD'].includes(method)
    if (!saysNothing && !isFromOwnPage(request, callbacks)) throw new CrossSite('this request')
    if (headers[name.toLowerCase()] === value || (method === 'GET' && site === 'same-origin')) return
    throw new CsrfHeaderMissing(header)
  }
}
