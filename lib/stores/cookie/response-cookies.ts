import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { isRecord } from '../../tokens/record.ts'

type Response = FastifyReply['raw']

/** Of each response the cookies of each store, until its headers are written. */
const waiting = new WeakMap<Response, Map<symbol, readonly string[]>>()

/** By what caches are told what to keep beside `Cache-Control`: RFC 9213 and its predecessor, and those of Akamai and nginx. */
const TARGETED = /(?:^|-)cdn-cache-control$|^surrogate-control$|^edge-control$|^x-accel-expires$/

/** Sets cookies with the response, in place of what the same store has put before. */
export function putCookies (reply: FastifyReply, store: symbol, cookies: readonly string[]): void {
  const known = waiting.get(reply.raw)
  if (known !== undefined) known.set(store, cookies)
  else {
    const ofAllStores = new Map([[store, cookies]])
    waiting.set(reply.raw, ofAllStores)
    addAsHeadersAreWritten(reply, ofAllStores)
  }
}

/** Takes back what a store has put. */
export function dropCookies ({ raw }: FastifyReply, store: symbol): void {
  waiting.get(raw)?.delete(store)
}

/**
 * The last word is said where headers are written, after all hooks: a response that sets a session is nobody else's (`no-store`,
 * RFC 9111 §5.2.2.5), and the app's own cookies stay, wherever they were set. On a reply that was hijacked nothing is set:
 * its headers may be written long after, when nobody looks any more whether there was a logout meanwhile.
 */
function addAsHeadersAreWritten (reply: FastifyReply, ofAllStores: ReadonlyMap<symbol, readonly string[]>): void {
  const { raw } = reply
  const { writeHead } = raw
  Object.assign(raw, {
    writeHead (...given: unknown[]) {
      const cookies = [...ofAllStores.values()].flat()
      if (cookies.length === 0 || reply.sent || given.some(Array.isArray)) return Reflect.apply(writeHead, raw, given)
      const ofApp = setHeaders(raw, given.find(isHeaders) ?? {})
      // It may be called twice, where the first time was in vain.
      raw.setHeader('set-cookie', [...new Set([...ofApp, ...cookies])])
      raw.setHeader('cache-control', 'no-store')
      for (const name of raw.getHeaderNames()) if (TARGETED.test(name)) raw.removeHeader(name)
      return Reflect.apply(writeHead, raw, given.filter((each) => !isHeaders(each)))
    }
  })
}

/** Sets the headers that `writeHead` was given, over those of before, as that does. Returns the cookies in all of them. */
function setHeaders (raw: Response, headers: OutgoingHttpHeaders): string[] {
  const cookies = valuesOf(raw.getHeader('set-cookie'))
  for (const [name, value = ''] of Object.entries(headers)) {
    if (name.toLowerCase() === 'set-cookie') cookies.push(...valuesOf(value))
    else raw.setHeader(name, value)
  }
  return cookies
}

function isHeaders (given: unknown): given is OutgoingHttpHeaders {
  return isRecord(given)
}

function valuesOf (value: OutgoingHttpHeader = []): string[] {
  return [value].flat().map(String)
}
