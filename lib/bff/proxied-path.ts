import type { FastifyRequest } from 'fastify'

/** What nearly all paths are: nothing escaped, nothing empty, no segment that begins with a dot. */
const PLAIN = /^(?:\/[\w~!$&'()*+,=:@-][\w.~!$&'()*+,=:@-]*)+\/?$/

/** What some take for the method of a request, whatever that is. */
const METHOD_HEADERS = ['x-http-method-override', 'x-http-method', 'x-method-override']

/** Whether a request has a method of its own: an allow-list could be got around by another one, which the API may take for it. */
export function hasOneMethod ({ headers }: FastifyRequest): boolean {
  return !METHOD_HEADERS.some((name) => name in headers)
}

/**
 * Whether a path means to the API behind what it means to the router here. There is one way to read it, then: no empty or dot
 * segments, no backslash, and nothing that is a slash or a dot only to somebody who decodes it twice.
 *
 * @param isListed - only listed paths go on: then none may hold a slash that the router takes for a part of a segment, nor the `;` that
 * it may take for the end of the path.
 */
export function isUnambiguous (url: string, isListed: boolean): boolean {
  const path = url.split('?', 1)[0] ?? ''
  if (PLAIN.test(path)) return true
  if (path.includes('#') || (isListed && /;|%2f|%5c/i.test(path))) return false
  const segments = decoded(path)?.split('/').slice(1)
  return segments !== undefined && segments.every((segment, index) => (segment !== '' || index === segments.length - 1) && segment !== '.' && segment !== '..')
}

/** `undefined` for what does not decode, or holds what no path should. */
function decoded (path: string): string | undefined {
  try {
    const text = decodeURIComponent(path)
    return /[\\\p{Cc}]|%(?:2e|2f|5c)/iu.test(text) ? undefined : text
  /* c8 ignore next 3 -- the router has refused it before, which nothing here relies on */
  } catch {
    return undefined
  }
}

/** The part of an address below a prefix, which has as many segments, however they are written. */
export function pathBelow (prefix: string, url: string): string {
  const segments = (url.split('?', 1)[0] ?? '').split('/').slice(prefix.split('/').length)
  return segments.map((segment) => `/${segment}`).join('')
}
