/** Any origin will do: it only shows whether a path stays on the one it is resolved against. */
const BASE = 'http://local.invalid'

/**
 * A redirect target that stays on this app: the path of what was asked for, or `otherwise`. It is read as a browser reads
 * it, so that no `//host`, `/\host`, tab or dot segment makes another host of it (RFC 9700 §4.11).
 *
 * @param origins - the app's own: of an address that begins with one of these, the path is taken.
 */
export function localPath (target: unknown, { origins = [], otherwise = '/' }: { readonly origins?: readonly string[], readonly otherwise?: string } = {}): string {
  if (typeof target !== 'string' || !URL.canParse(target, BASE)) return otherwise
  const { origin, pathname, search, hash } = new URL(target, BASE)
  const isOwn = target.startsWith('/') ? origin === BASE : /^https?:\/\//i.test(target) && origins.includes(origin)
  const path = pathname + search + hash
  return isOwn && !path.startsWith('//') ? path : otherwise
}
