import { fastifyCookie, type SerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { SessionTooLarge } from '../errors.ts'
import type { CheckedOptions } from '../options-check.ts'
import { isRecord, type TokenSet } from '../token-set.ts'
import type { CookieSeal } from './cookie-seal.ts'
import type { StoreContext, TokenStore } from './token-store.ts'

/** What browsers keep of a cookie, name and value together (RFC 6265bis §5.5). */
const MAX_COOKIE_BYTES = 4096

/** What is sealed. The provider is in it, so that no cookie opens under another name. */
interface Content {
  readonly provider: string
  /** Seconds since the epoch of the last write; `session.inactivityDuration` counts from here. */
  readonly usedAt: number
  readonly tokens: TokenSet
}

/** The default store: the whole session, sealed, in one cookie of the browser. It opens the cookie only when asked. */
export function cookieTokenStore (seal: CookieSeal, session: CheckedOptions['session'], clock: () => number): TokenStore {
  const { cookieName, absoluteDuration, inactivityDuration } = session
  const attributes: SerializeOptions = { ...session.cookie, httpOnly: true }
  const opened = new WeakMap<FastifyRequest, Content>()
  // One and the same cookie, byte for byte, for everybody who waited for one refresh.
  const sealedOnce = new WeakMap<TokenSet, string>()

  function get ({ request, reply, provider }: StoreContext): TokenSet | null {
    const header = request.headers.cookie
    if (header === undefined || !header.includes(cookieName)) return null
    const value = fastifyCookie.parse(header)[cookieName]
    if (!value) return null
    const content = seal.open(value, request.log)
    if (!isContent(content) || content.provider !== provider || isOver(content)) {
      request.log.debug({ cookie: cookieName }, 'The session cookie is broken, of another key, or its time is over: it is cleared')
      remove(reply)
      return null
    }
    opened.set(request, content)
    return content.tokens
  }

  function set ({ reply, provider }: StoreContext, tokens: TokenSet): void {
    let cookie = sealedOnce.get(tokens)
    if (cookie === undefined) {
      cookie = write(provider, tokens)
      sealedOnce.set(tokens, cookie)
    }
    putCookie(reply, cookieName, cookie)
  }

  /** The write that pushes back the inactivity limit is needed only once in half of its time. */
  function touch ({ request, reply, provider }: StoreContext): void {
    const content = opened.get(request)
    if (content === undefined || clock() < content.usedAt + inactivityDuration / 2) return
    putCookie(reply, cookieName, write(provider, content.tokens))
  }

  function write (provider: string, tokens: TokenSet): string {
    const now = Math.floor(clock())
    const content: Content = { provider, usedAt: now, tokens }
    const value = seal.seal({ ...content })
    const size = cookieName.length + value.length
    if (size > MAX_COOKIE_BYTES) throw new SessionTooLarge(size, MAX_COOKIE_BYTES, sizes(tokens))
    const maxAge = Math.ceil(Math.min(inactivityDuration, tokens.startedAt + absoluteDuration - now))
    return fastifyCookie.serialize(cookieName, value, { ...attributes, maxAge })
  }

  function remove (reply: FastifyReply): void {
    putCookie(reply, cookieName, fastifyCookie.serialize(cookieName, '', { ...attributes, maxAge: 0 }))
  }

  function isOver ({ usedAt, tokens }: Content): boolean {
    const now = clock()
    return now >= usedAt + inactivityDuration || now >= tokens.startedAt + absoluteDuration
  }

  return {
    get,
    set,
    clear: ({ reply }) => { remove(reply) },
    touch,
    retract: ({ reply }) => { dropCookie(reply, cookieName) },
    writesResponse: true
  }
}

/** A response that sets the session is nobody else's (R13). Handlers may set the header later, so it is set again as the response is sent. */
export function forbidCaching (reply: FastifyReply, cookieName: string): void {
  if (cookiesOf(reply).some((cookie) => cookie.startsWith(`${cookieName}=`))) reply.header('cache-control', 'no-store')
}

/** Sets a cookie in place of one of the same name: Fastify itself would send both. */
function putCookie (reply: FastifyReply, name: string, cookie: string): void {
  dropCookie(reply, name).header('set-cookie', cookie).header('cache-control', 'no-store')
}

function dropCookie (reply: FastifyReply, name: string): FastifyReply {
  const others = cookiesOf(reply).filter((cookie) => !cookie.startsWith(`${name}=`))
  reply.removeHeader('set-cookie')
  return others.length > 0 ? reply.header('set-cookie', others) : reply
}

function cookiesOf (reply: FastifyReply): string[] {
  return [reply.getHeader('set-cookie') ?? []].flat().map(String)
}

function isContent (content: unknown): content is Content {
  return isRecord(content) && typeof content.provider === 'string' && typeof content.usedAt === 'number' && isRecord(content.tokens)
}

function sizes ({ accessTokens, refreshToken, idToken }: TokenSet): string {
  const parts = [...accessTokens.map(({ accessToken, resource }) => [`access token${resource ? ` for ${resource}` : ''}`, accessToken] as const),
    ['refresh token', refreshToken] as const, ['id_token', idToken] as const]
  return parts.flatMap(([name, token]) => token === undefined ? [] : [`${name} ${token.length}`]).join(', ')
}
