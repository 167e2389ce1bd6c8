/** One cookie of a Cookie header. */
export interface Cookie {
  readonly name: string
  readonly value: string
}

/** In one header; nothing but an attack has more of one name. */
const MAX_COOKIES = 64

/**
 * The cookies of a header (RFC 6265 §5.4) that are called `name`, or `name.0` to `name.9`; the empty ones are none. The others
 * are skipped unread: they are somebody else's, and a header of 15 KB would cost milliseconds to parse and decode.
 */
export function cookiesNamed (header: string, name: string): Cookie[] {
  const found: Cookie[] = []
  let at = header.indexOf(name)
  while (at !== -1 && found.length < MAX_COOKIES) {
    const equals = endOfName(header, at, at + name.length)
    if (equals === undefined) {
      at = header.indexOf(name, at + name.length)
      continue
    }
    const semicolon = header.indexOf(';', equals)
    const end = semicolon === -1 ? header.length : semicolon
    const value = header.slice(equals + 1, end).trim()
    if (value !== '') found.push({ name: header.slice(at, equals), value })
    at = header.indexOf(name, end)
  }
  return found
}

/** Where the `=` stands, if it is a name that begins there, and no longer one. */
function endOfName (header: string, at: number, end: number): number | undefined {
  const equals = header.charAt(end) === '.' && /\d/.test(header.charAt(end + 1)) ? end + 2 : end
  if (header.charAt(equals) !== '=') return undefined
  let before = at - 1
  while (before >= 0 && (header.charAt(before) === ' ' || header.charAt(before) === '\t')) before--
  return before < 0 || header.charAt(before) === ';' ? equals : undefined
}
