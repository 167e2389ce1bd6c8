/** Any origin will do: it only shows whether a path stays on the one it is resolved against. */
const BASE = 'http://local.invalid'

/**
 * A redirect target that stays on this app: the path of what was asked for, or `/`. It is read as a browser reads it, so
 * that no `//host`, `/\host`, tab or dot segment makes another host of it (RFC 9700 §4.11).
 */
export function localPath (target: unknown): string {
  if (typeof target !== 'string' || !target.startsWith('/') || !URL.canParse(target, BASE)) return '/'
  const { origin, pathname, search, hash } = new URL(target, BASE)
  const path = pathname + search + hash
  return origin === BASE && !path.startsWith('//') ? path : '/'
}
