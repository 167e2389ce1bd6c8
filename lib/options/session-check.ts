import { stringifySetCookie } from 'cookie'
import type { Options } from './schema.ts'
import type { Surroundings } from './surroundings.ts'

const HOW_TO_MAKE_ONE = '32 random bytes, from node -e "console.log(crypto.randomBytes(32).toString(\'base64\'))"'

/** What is wrong with the keys that seal sessions. */
export function keyProblem ({ session: { key }, login, logout, coordinator, tokenStore }: Options, { session, tokenStore: decorated }: Surroundings): string | undefined {
  if (key === undefined) {
    const use = [
      (tokenStore !== undefined || decorated === 'factory') && ' with a tokenStore that is made for it, to seal what that keeps',
      coordinator && ' with coordinator, to seal what the processes share',
      login && ' with login, to seal what a browser holds of a login that is under way',
      logout && ' with logout, to seal where the browser goes next'
    ].find(Boolean)
    const hasStore = session || decorated === 'store'
    if (hasStore && !use) return undefined
    return `session.key is required${hasStore ? use : ''}: ${HOW_TO_MAKE_ONE}`
  }
  const keys = Array.isArray(key) ? key : [key]
  if (keys.length === 0) return 'session.key must hold at least one key'
  const bad = keys.findIndex((one) => readKey(one)?.length !== 32)
  if (bad === -1) return undefined
  return `session.key${Array.isArray(key) ? `.${bad}` : ''} must be 32 bytes, as Buffer, base64 or hex text`
}

/** All keys, the one that seals first. */
export function readKeys (key: NonNullable<Options['session']['key']>): Buffer[] {
  return (Array.isArray(key) ? key : [key]).flatMap((one) => readKey(one) ?? [])
}

function readKey (key: unknown): Buffer | undefined {
  if (key instanceof Uint8Array) return Buffer.from(key)
  if (typeof key !== 'string') return undefined
  if (/^[\da-f]{64}$/i.test(key)) return Buffer.from(key, 'hex')
  // Node's decoder skips what is no base64: a passphrase would lose characters without a word.
  return /^[\w+/-]{43}=?$/.test(key) ? Buffer.from(key, 'base64') : undefined
}

/** Whether the cookie is for https only. */
export function isSecureCookie ({ login, session }: Options): boolean {
  return session.cookie.secure ?? !(login && new URL(login.callbackUri).protocol === 'http:')
}

/** What would make browsers drop the cookie without a word (RFC 6265bis §4.1.3.2, §5.7). */
export function cookieProblem (options: Options): string | undefined {
  const { cookieName, cookie } = options.session
  const secure = isSecureCookie(options)
  const prefixed = cookieName === undefined ? secure : /^__host-/i.test(cookieName)
  if (prefixed && (cookie.domain !== undefined || cookie.path !== '/' || !secure)) {
    return 'session.cookie: a __Host- cookie has no domain, the path / and secure. Give session.cookieName a name without __Host-, or leave these out'
  }
  if (!isAttributes(cookie)) return 'session.cookie: domain is a host name, and path begins with / and holds no semicolon'
  if (/^__secure-/i.test(cookieName ?? '') && !secure) return 'session.cookieName: a __Secure- cookie needs secure'
  if (cookie.sameSite === 'none' && !secure) return 'session.cookie.sameSite: none needs secure'
  if (cookie.partitioned && !secure) return 'session.cookie.partitioned needs secure'
  return undefined
}

/** Whether a browser is told so, and goes by it. */
function isAttributes ({ domain, path }: Options['session']['cookie']): boolean {
  try {
    return path.startsWith('/') && stringifySetCookie('name', 'value', { path, ...(domain !== undefined && { domain }) }) !== ''
  } catch {
    return false
  }
}
