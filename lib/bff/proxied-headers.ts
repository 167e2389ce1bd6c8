import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'

/** What is between the browser and this app, or speaks of the connection: none of it goes on to an API. */
const KEPT_BACK = new Set(['cookie', 'authorization', 'dpop', 'proxy-authorization', 'host', 'connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade', 'http2-settings', 'transfer-encoding', 'expect',
  'forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-prefix', 'x-real-ip'])

/** Of an answer, what is about the connection to the API, or its dealings with this app. */
const KEPT_HERE = new Set(['connection', 'keep-alive', 'transfer-encoding', 'proxy-authenticate', 'dpop-nonce', 'clear-site-data'])

/** Who has sent a request, and to where: Fastify's `trustProxy` decides what of that is believed. */
export function forwarded ({ ip, host, protocol }: FastifyRequest): Record<string, string> {
  return { 'x-forwarded-for': ip, 'x-forwarded-host': host, 'x-forwarded-proto': protocol }
}

/** The headers of a browser's request as an API gets them, before its token. */
export function towardsApi (request: FastifyRequest): Record<string, string | string[]> {
  const { headers } = request
  const passed: Record<string, string | string[]> = forwarded(request)
  // RFC 9110 §7.6.1: what the sender lists there is between the two of us.
  const named = headers.connection === undefined || headers.connection === 'keep-alive' ? '' : ` ${headers.connection.toLowerCase().replaceAll(',', ' ')} `
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value !== undefined && !KEPT_BACK.has(name) && !name.startsWith(':') && !(named !== '' && named.includes(` ${name} `))) passed[name] = value
  }
  return passed
}

/** Where an API is, as it sees it and as the browser does. */
export interface Places {
  readonly origin: string
  /** What its paths begin with. */
  readonly apiPrefix: string
  /** What stands in its place before the browser. */
  readonly prefix: string
}

/** The headers of an API's answer as the browser gets them. */
export function towardsBrowser (headers: IncomingHttpHeaders, places: Places, passesCookies: boolean): IncomingHttpHeaders {
  const passed: IncomingHttpHeaders = {}
  for (const name of Object.keys(headers)) {
    if (!KEPT_HERE.has(name) && (passesCookies || name !== 'set-cookie')) passed[name] = headers[name]
  }
  if (passed.location !== undefined) passed.location = asBrowserSees(passed.location, places)
  return passed
}

/** A redirect within the API leads to the same place through the proxy; any other is left as it is. */
function asBrowserSees (location: string, { origin, apiPrefix, prefix }: Places): string {
  const path = location.startsWith(`${origin}/`) ? location.slice(origin.length) : location
  const isWithin = path.startsWith(`${apiPrefix}/`) && !path.startsWith('//')
  return isWithin ? prefix + path.slice(apiPrefix.length) : location
}
