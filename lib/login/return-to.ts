import { deflateRawSync, inflateRawSync } from 'node:zlib'

/** Of what is kept of it, in the cookie of a login. */
const MAX_CHARACTERS = 1000

/** No address that a browser asks for is longer. */
const MAX_INFLATED_BYTES = 65_536

/**
 * A local path as a login keeps it: as it is, or deflated where that is shorter. What is too long all the same loses its
 * query, and then all of it.
 */
export function packReturnTo (path: string): string {
  const deflated = deflateRawSync(path).toString('base64url')
  const shorter = deflated.length < path.length ? deflated : path
  if (shorter.length <= MAX_CHARACTERS && Buffer.byteLength(path) <= MAX_INFLATED_BYTES) return shorter
  const { pathname } = new URL(path, 'http://local.invalid')
  return pathname.length < path.length ? packReturnTo(pathname) : '/'
}

/** What was packed; it begins with a slash if it was not deflated. */
export function unpackReturnTo (packed: string): string {
  if (packed.startsWith('/')) return packed
  return inflateRawSync(Buffer.from(packed, 'base64url'), { maxOutputLength: MAX_INFLATED_BYTES }).toString()
}
