import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { pathBelow } from './proxied-path.ts'

/** What is between the browser and this app, or speaks of the connection: none of it goes on to an API, nor does any `X-Forwarded-*`. */
const KEPT_BACK = new Set(['cookie', 'authorization', 'dpop', 'proxy-authorization', 'host', 'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'http2-settings', 'transfer-encoding', 'expect',
  'forwarded', 'x-real-ip', 'x-original-url', 'x-rewrite-url'])

/** Of an answer, what is about the connection to the API, or its dealings with this app. */
const KEPT_HERE = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'trailer', 'upgrade', 'alt-svc', 'proxy-authenticate', 'dpop-nonce', 'clear-site-data'])

const NOTHING: readonly string[] = []

/** What lets a shared cache keep the answer to a request with `Authorization` (RFC 9111 §3.5), or forbids it by itself. */
const SAYS_FOR_WHOM = /\b(?:public|s-maxage|must-revalidate|private|no-store)\b/i

/** Who has sent a request, and to where: Fastify's `trustProxy` decides what of that is believed. */
export function forwarded ({ ip, host, protocol }: FastifyRequest): Record<string, string> {
  return { 'x-forwarded-for': ip, 'x-forwarded-host': host, 'x-forwarded-proto': protocol }
}

/** The headers of a browser's request as an API gets them, before its token. */
export function towardsApi (request: FastifyRequest): Record<string, string | string[]> {
  const { headers } = request
  const passed: Record<string, string | string[]> = forwarded(request)
  const named = namedIn(headers.connection)
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value !== undefined && !KEPT_BACK.has(name) && !name.startsWith(':') && !name.startsWith('x-forwarded-') && !named.includes(name)) passed[name] = value
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

/** What an answer is to. */
export interface Asked {
  readonly places: Places
  /** The address that the browser has asked for. */
  readonly url: string
  readonly passesCookies: boolean
  /** Whether a token went along. */
  readonly isPersonal: boolean
}

/** The headers of an API's answer as the browser gets them. */
export function towardsBrowser (headers: IncomingHttpHeaders, { places, url, passesCookies, isPersonal }: Asked): IncomingHttpHeaders {
  const passed: IncomingHttpHeaders = {}
  const named = namedIn(headers.connection)
  for (const name of Object.keys(headers)) {
    if (!KEPT_HERE.has(name) && !named.includes(name) && (passesCookies || name !== 'set-cookie')) passed[name] = headers[name]
  }
  if (passed.location !== undefined) passed.location = asBrowserSees(passed.location, places, url)
  return isPersonal ? forNobodyElse(passed) : passed
}

/** RFC 9110 §7.6.1: what the sender lists in `Connection` is between the two of us. */
function namedIn (connection: string | undefined): readonly string[] {
  return connection === undefined || connection === 'keep-alive' ? NOTHING : connection.toLowerCase().split(',').map((name) => name.trim())
}

/** A redirect within the API leads to the same place through the proxy; any other is left as it is. */
function asBrowserSees (location: string, { origin, apiPrefix, prefix }: Places, url: string): string {
  const path = location.startsWith(`${origin}/`) ? location.slice(origin.length) : location
  const isWithin = path.startsWith(`${apiPrefix}/`) && !path.startsWith('//')
  return isWithin ? prefixIn(url, prefix) + path.slice(apiPrefix.length) : location
}

/** As this browser has written it: it may have parameters. */
function prefixIn (url: string, prefix: string): string {
  const [path = ''] = url.split('?', 1)
  return path.slice(0, path.length - pathBelow(prefix, url).length)
}

/**
 * A token keeps an answer out of shared caches, and those of other tokens apart where the API says `Vary: Authorization`. On the
 * browser's side there is a cookie in its place, to which that does not apply by itself.
 */
function forNobodyElse (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { 'cache-control': cache, vary } = headers
  if (cache === undefined) headers['cache-control'] = 'private'
  else if (!SAYS_FOR_WHOM.test(listOf(cache))) headers['cache-control'] = `${listOf(cache)}, private`
  if (vary !== undefined && /\bauthorization\b/i.test(listOf(vary))) headers.vary = `${listOf(vary)}, Cookie`
  return headers
}

/** One header, however often it was sent. */
function listOf (value: string | string[]): string {
  return [value].flat().join(', ')
}
