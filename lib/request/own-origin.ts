import type { FastifyRequest } from 'fastify'

/** The origins of this app's callbacks, as far as it has logins. */
export type CallbackOrigins = ReadonlyArray<string | undefined>

/**
 * Whether a page of this app has sent a request, as browsers say it: `Sec-Fetch-Site`, or `Origin` where they are older or do
 * not trust the connection. A sibling subdomain is another site's.
 */
export function isFromOwnPage (request: FastifyRequest, callbacks: CallbackOrigins): boolean {
  const { 'sec-fetch-site': site } = request.headers
  return site === undefined ? isFromOwnOrigin(request, callbacks) : site === 'same-origin'
}

/** The same by `Origin` alone, which browsers send with WebSocket handshakes. */
export function isFromOwnOrigin (request: FastifyRequest, callbacks: CallbackOrigins): boolean {
  return request.headers.origin === ownOrigin(request, callbacks)
}

/** `trustProxy` decides what the own host is. Whether that is https, a callback at that host says for sure, whatever a proxy does not pass on. */
function ownOrigin ({ protocol, host }: FastifyRequest, callbacks: CallbackOrigins): string {
  return callbacks.find((origin) => origin !== undefined && new URL(origin).host === host) ?? `${protocol}://${host}`
}
