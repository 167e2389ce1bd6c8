import { parseCookie, type SerializeOptions, stringifySetCookie } from 'cookie'
import type { FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../../options/check.ts'
import type { TokenSet } from '../../tokens/token-set.ts'
import { writeWithinBudget, type WrittenCookies } from './budget.ts'
import { CookieChunks, type Cookies } from './chunks.ts'
import type { Seal } from '../seal.ts'
import { dropCookies, putCookies } from './response-cookies.ts'
import { type OpenedSession, SessionTexts, type Session } from './session-text.ts'
import { SessionTimes, type SessionTimesSettings } from '../session-times.ts'
import type { StoreContext, TokenStore } from '../token-store.ts'

export interface CookieTokenStoreSettings extends SessionTimesSettings {
  readonly seal: Seal
  readonly session: CheckedOptions['session']
  readonly clock: () => number
}

/** What a Cookie header holds, and the sealed texts that are whole in it. */
interface Received {
  readonly header: string
  readonly cookies: Cookies
  readonly texts: readonly string[]
}

export interface CookieTokenStore extends TokenStore {
  /** Whether a cookie of this name is the session's, or a part of it. */
  readonly ownsCookie: (name: string) => boolean
}

/** The default store: the whole session, sealed, in cookies of the browser. They are opened only when asked. */
export function cookieTokenStore (settings: CookieTokenStoreSettings): CookieTokenStore {
  const { seal, session: options, clock } = settings
  const { cookieName, maxCookieBytes } = options
  const times = new SessionTimes(settings)
  const attributes: SerializeOptions = { ...options.cookie, httpOnly: true }
  const chunks = new CookieChunks(cookieName, maxCookieBytes)
  const ownsCookie = (name: string): boolean => chunks.has(name)
  const sessions = new SessionTexts(seal, clock)
  // The same cookies, byte for byte, for everybody who waited for one refresh.
  const writtenOnce = new WeakMap<TokenSet, WrittenCookies & { readonly rollAt: number }>()
  let hasSaidWhatIsLeftOut = false

  let last: Received = { header: '', cookies: {}, texts: [] }

  /** One request asks several times: by the hook, by its handler, and as it is answered. */
  function receivedWith ({ headers: { cookie: header = '' } }: FastifyRequest): Received {
    if (header === last.header) return last
    const cookies = parseCookie(header)
    last = { header, cookies, texts: chunks.join(cookies) }
    return last
  }

  function get (context: StoreContext): TokenSet | null {
    const session = newest(context)
    if (session !== undefined) return session.tokens
    const broken = chunks.among(receivedWith(context.request).cookies)
    if (broken.length > 0) {
      context.request.log.debug({ cookie: cookieName }, 'The session cookie is broken, of another key, or its time is over: it is cleared')
      putCookies(context.reply, ownsCookie, broken.map(deletion))
    }
    return null
  }

  /** Two are whole where a left-over was not deleted. */
  function newest ({ request, provider }: StoreContext): OpenedSession | undefined {
    let newest: OpenedSession | undefined
    for (const text of receivedWith(request).texts) {
      const session = sessions.open(text, provider, request.log)
      if (session !== undefined && clock() < times.endOf(session) && isNewer(session, newest)) newest = session
    }
    return newest
  }

  function set (context: StoreContext, tokens: TokenSet): void {
    let written = writtenOnce.get(tokens)
    if (written === undefined || clock() >= written.rollAt) {
      written = { ...write(context, tokens), rollAt: times.rollAt({ usedAt: clock(), tokens }) }
      writtenOnce.set(tokens, written)
    }
    put(context, written)
  }

  /** The write that pushes back the inactivity limit is needed only once in half of its time. */
  function touch (context: StoreContext): void {
    const session = newest(context)
    if (session !== undefined && (session.isOfOldKey || clock() >= times.rollAt(session))) put(context, write(context, session.tokens))
  }

  /** Deletes all that there can be, whatever this request has brought: a response on its way may bring the browser more. */
  function clear (context: StoreContext): void {
    const { cookies } = receivedWith(context.request)
    const session = newest(context)
    if (session !== undefined) sessions.forget(session.tokens.sessionId)
    putCookies(context.reply, ownsCookie, [...new Set([...chunks.names, ...chunks.among(cookies)])].map(deletion))
  }

  function dueAt ({ request }: StoreContext): number | undefined {
    const { cookies, texts: [text, ...others] } = receivedWith(request)
    if (text === undefined) return chunks.among(cookies).length === 0 ? Infinity : undefined
    return others.length > 0 ? undefined : sessions.dueAt(text)
  }

  function write ({ request, provider }: StoreContext, tokens: TokenSet): WrittenCookies {
    const { written, isIdTokenLeftOut } = writeWithinBudget(tokens, maxCookieBytes, (kept) => serialize({ provider, usedAt: Math.floor(clock()), tokens: kept }))
    if (isIdTokenLeftOut && !hasSaidWhatIsLeftOut) {
      hasSaidWhatIsLeftOut = true
      request.log.info({ cookie: cookieName, bytes: written.requestBytes }, 'The session is large: it is kept without the id_token, and logouts go without id_token_hint. Proxies may want larger buffers: see docs/storage.md. Said once')
    }
    return written
  }

  function serialize (session: Session): WrittenCookies {
    const maxAge = Math.ceil(times.endOf(session) - session.usedAt)
    const pairs = chunks.split(sessions.seal(session, times.dueAt(session)))
    return {
      names: pairs.map(([name]) => name),
      requestBytes: pairs.map((pair) => pair.join('=')).join('; ').length,
      setCookies: pairs.map(([name, value]) => stringifySetCookie(name, value, { ...attributes, maxAge }))
    }
  }

  function put ({ request, reply }: StoreContext, { names, setCookies }: WrittenCookies): void {
    const leftOver = chunks.among(receivedWith(request).cookies).filter((name) => !names.includes(name))
    putCookies(reply, ownsCookie, [...setCookies, ...leftOver.map(deletion)])
  }

  function deletion (name: string): string {
    return stringifySetCookie(name, '', { ...attributes, maxAge: 0 })
  }

  return {
    get,
    set,
    clear,
    touch,
    dueAt,
    retract: ({ reply }) => { dropCookies(reply, ownsCookie) },
    writesResponse: true,
    ignoresContext: true,
    ownsCookie
  }
}

/** Of one session the one that was refreshed last, of two the one that was used last. */
function isNewer ({ usedAt, tokens }: Session, other: Session | undefined): boolean {
  if (other === undefined) return true
  return tokens.sessionId === other.tokens.sessionId && tokens.generation !== other.tokens.generation ? tokens.generation > other.tokens.generation : usedAt > other.usedAt
}
