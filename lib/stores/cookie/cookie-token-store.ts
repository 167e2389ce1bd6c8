import { type SerializeOptions, stringifySetCookie } from 'cookie'
import type { FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../../options/check.ts'
import type { TokenSet } from '../../tokens/token-set.ts'
import { writeWithinBudget, type WrittenCookies } from './budget.ts'
import { CookieChunks, type Received, type ReceivedText } from './chunks.ts'
import type { Seal } from '../seal.ts'
import { dropCookies, putCookies } from './response-cookies.ts'
import { isNewer, type OpenedSession, SessionTexts, type Session } from './session-text.ts'
import { SessionTimes, type SessionTimesSettings } from '../session-times.ts'
import type { StoreContext, TokenStore } from '../../tokens/token-store.ts'

export interface CookieTokenStoreSettings extends SessionTimesSettings {
  readonly seal: Seal
  readonly session: CheckedOptions['session']
  readonly clock: () => number
}

/** What was written of a session, when that is to be written again, and when it is over. */
interface TimedCookies extends WrittenCookies {
  readonly rollAt: number
  readonly endsAt: number
}

/** The default store: the whole session, sealed, in cookies of the browser. They are opened only when asked. */
export function cookieTokenStore (settings: CookieTokenStoreSettings): TokenStore {
  const { seal, session: options, clock } = settings
  const { cookieName, maxCookieBytes } = options
  const times = new SessionTimes(settings)
  const attributes: SerializeOptions = { ...options.cookie, httpOnly: true }
  const chunks = new CookieChunks(cookieName, maxCookieBytes)
  const sessions = new SessionTexts(seal, clock)
  // The same cookies, byte for byte, for everybody who waited for one refresh.
  const writtenOnce = new WeakMap<TokenSet, TimedCookies>()
  /** When the sessions are over that requests have written. */
  const ends = new WeakMap<FastifyRequest, number>()
  const expired = new WeakMap<FastifyRequest, TokenSet>()
  let hasSaidWhatIsLeftOut = false
  /** What this store's cookies are told from those of another one by, where they are still to be sent. */
  const kStore = Symbol(cookieName)

  let last: Received & { readonly header: string } = { header: '', cookies: [], texts: [] }

  /** One request asks several times: by the hook, by its handler, and as it is answered. */
  function receivedWith ({ headers: { cookie: header = '' } }: FastifyRequest): Received {
    if (header !== last.header) last = { header, ...chunks.read(header) }
    return last
  }

  function open ({ request, provider }: StoreContext, { text }: ReceivedText): OpenedSession | undefined {
    return sessions.open(text, provider, request.log)
  }

  /** The one to go by. Two are whole where a left-over was not deleted, or has another path. */
  function newest (context: StoreContext): OpenedSession | undefined {
    let best: OpenedSession | undefined
    for (const received of receivedWith(context.request).texts) {
      const session = open(context, received)
      if (session !== undefined && clock() < times.endOf(session) && isNewer(session, best)) best = session
    }
    return best
  }

  function get (context: StoreContext): TokenSet | null {
    const session = newest(context)
    if (session !== undefined) return session.tokens
    const { cookies, texts } = receivedWith(context.request)
    const over = texts.map((received) => open(context, received)).find((session) => session !== undefined)
    const { log } = context.request
    if (over !== undefined) {
      if (times.isAtItsEnd(over, clock())) expired.set(context.request, over.tokens)
      log.debug({ cookie: cookieName }, 'The time of the session is over: its cookie is cleared')
      putCookies(context.reply, kStore, namesOpened(context).map(deletion))
    } else if (cookies.length > 0) {
      log.debug({ cookie: cookieName }, 'The session cookie does not open: it is broken, or of another key, and left alone until a login or a logout')
    }
    return null
  }

  function set (context: StoreContext, tokens: TokenSet): void {
    let written = writtenOnce.get(tokens)
    if (written === undefined || clock() >= written.rollAt) {
      written = write(context, tokens)
      writtenOnce.set(tokens, written)
    }
    const isLogin = tokens.generation === 0
    put(context, written, isLogin ? namesReceived(context) : namesOpened(context))
  }

  /** The write that pushes back the inactivity limit is needed only once in half of its time. */
  function touch (context: StoreContext): void {
    const session = newest(context)
    if (session === undefined || !(session.isOfOldKey || clock() >= times.rollAt(session))) return
    put(context, write(context, session.tokens), namesOpened(context))
  }

  /** Deletes all that there can be, whatever this request has brought: a response on its way may bring the browser more. */
  function clear (context: StoreContext): void {
    const session = newest(context)
    if (session !== undefined) sessions.forget(session.tokens.sessionId)
    putCookies(context.reply, kStore, [...new Set([...chunks.names, ...namesReceived(context)])].map(deletion))
  }

  function dueAt ({ request }: StoreContext): number | undefined {
    let first = Infinity
    for (const { text } of receivedWith(request).texts) first = Math.min(first, sessions.dueAt(text))
    return first
  }

  function endsAt (context: StoreContext): number | undefined {
    const session = newest(context)
    return ends.get(context.request) ?? (session && times.endOf(session))
  }

  function write ({ request, provider }: StoreContext, tokens: TokenSet): TimedCookies {
    const usedAt = Math.floor(clock())
    const { written, isIdTokenLeftOut } = writeWithinBudget(tokens, maxCookieBytes, (kept) => serialize({ provider, usedAt, tokens: kept }))
    if (isIdTokenLeftOut && !hasSaidWhatIsLeftOut) {
      hasSaidWhatIsLeftOut = true
      request.log.info({ cookie: cookieName, bytes: written.requestBytes }, 'The session is large: it is kept without the id_token, and logouts go without id_token_hint. Proxies may want larger buffers: see docs/storage.md. Said once')
    }
    return { ...written, rollAt: times.rollAt({ usedAt, tokens }), endsAt: times.endOf({ usedAt, tokens }) }
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

  /** @param replaced - the names of the cookies that it takes the place of. */
  function put ({ request, reply }: StoreContext, { names, setCookies, endsAt }: TimedCookies, replaced: readonly string[]): void {
    ends.set(request, endsAt)
    const leftOver = replaced.filter((name) => !names.includes(name))
    putCookies(reply, kStore, [...setCookies, ...leftOver.map(deletion)])
  }

  function namesReceived ({ request }: StoreContext): string[] {
    return [...new Set(receivedWith(request).cookies.map(({ name }) => name))]
  }

  /** Of all that opens. What does not may be another instance's, of a key that this one does not have yet: it is left alone. */
  function namesOpened (context: StoreContext): string[] {
    const opened = receivedWith(context.request).texts.filter((received) => open(context, received) !== undefined)
    return [...new Set(opened.flatMap(({ names }) => names))]
  }

  function deletion (name: string): string {
    return stringifySetCookie(name, '', { ...attributes, maxAge: 0 })
  }

  const retract = ({ reply }: StoreContext): void => { dropCookies(reply, kStore) }
  return { get, set, clear, touch, dueAt, endsAt, expired: ({ request }) => expired.get(request), retract, writesResponse: true, ignoresContext: true }
}
