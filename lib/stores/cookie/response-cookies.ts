import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'

type Response = FastifyReply['raw']
type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[]

/** Of each response the cookies of each store, until its headers are written. */
const waiting = new WeakMap<Response, Map<symbol, readonly string[]>>()

/** By what caches are told what to keep beside `Cache-Control`: RFC 9213 and its predecessor, and those of Akamai and nginx. */
const TARGETED = /(?:^|-)cdn-cache-control$|^surrogate-control$|^edge-control$|^x-accel-expires$/

/** Sets cookies with the response, in place of what the same store has put before. */
export function putCookies ({ raw }: FastifyReply, store: symbol, cookies: readonly string[]): void {
  const known = waiting.get(raw)
  if (known !== undefined) known.set(store, cookies)
  else {
    const ofAllStores = new Map([[store, cookies]])
    waiting.set(raw, ofAllStores)
    addAsHeadersAreWritten(raw, ofAllStores)
  }
}

/** Takes back what a store has put. */
export function dropCookies ({ raw }: FastifyReply, store: symbol): void {
  waiting.get(raw)?.delete(store)
}

/**
 * The last word is said where headers are written, after all hooks: a response that sets a session is nobody else's (`no-store`,
 * RFC 9111 §5.2.2.5), and the app's own cookies stay, wherever they were set.
 */
function addAsHeadersAreWritten (raw: Response, ofAllStores: ReadonlyMap<symbol, readonly string[]>): void {
  const { writeHead } = raw
  Object.assign(raw, {
    writeHead (status: number, ...rest: Array<string | Headers | undefined>) {
      const cookies = [...ofAllStores.values()].flat()
      if (cookies.length === 0) return Reflect.apply(writeHead, raw, [status, ...rest])
      const headers = rest.find((each) => typeof each === 'object')
      const ofApp = setHeaders(raw, headers ?? {})
      // It may be called twice, where the first time was in vain.
      raw.setHeader('set-cookie', [...new Set([...ofApp, ...cookies])])
      raw.setHeader('cache-control', 'no-store')
      for (const name of raw.getHeaderNames()) if (TARGETED.test(name)) raw.removeHeader(name)
      return Reflect.apply(writeHead, raw, [status, ...rest.filter((each) => typeof each === 'string')])
    }
  })
}

/** Sets the headers that `writeHead` was given, over those of before, as that does. Returns the cookies in all of them. */
function setHeaders (raw: Response, headers: Headers): string[] {
  const cookies = valuesOf(raw.getHeader('set-cookie') ?? [])
  const set = new Set<string>()
  for (const [name, value] of pairsOf(headers)) {
    const lowerCase = name.toLowerCase()
    if (lowerCase === 'set-cookie') cookies.push(...valuesOf(value))
    else if (set.has(lowerCase)) raw.appendHeader(name, valuesOf(value))
    else raw.setHeader(name, value)
    set.add(lowerCase)
  }
  return cookies
}

/** An array has names and values in turn, or pairs of them. */
function pairsOf (headers: Headers): Array<[name: string, value: OutgoingHttpHeader]> {
  if (!Array.isArray(headers)) return Object.entries(headers).flatMap(([name, value]) => value === undefined ? [] : [[name, value]])
  const flat: OutgoingHttpHeader[] = Array.isArray(headers[0]) ? headers.flat() : headers
  return flat.flatMap((name, index) => index % 2 === 0 ? [[String(name), flat[index + 1] ?? '']] : [])
}

function valuesOf (value: OutgoingHttpHeader): string[] {
  return [value].flat().map(String)
}
