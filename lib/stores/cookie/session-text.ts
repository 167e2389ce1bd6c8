import type { FastifyBaseLogger } from 'fastify'
import type { TokenSet } from '../../tokens/token-set.ts'
import { pack, unpack } from './pack.ts'
import type { Seal } from '../seal.ts'
import { OpenedCookies } from './opened-cookies.ts'

/** Of the format, so that a later release can tell this one's cookies from its own. */
const VERSION = 1

/** A session as it is sealed. The provider is in it, so that nothing opens under another name. */
export interface Session {
  readonly provider: string
  /** Seconds since the epoch of the last write; `session.inactivityDuration` counts from here. */
  readonly usedAt: number
  readonly tokens: TokenSet
}

/** A session as it was opened. */
export interface OpenedSession extends Session {
  /** It is to be sealed again, before its key is removed. */
  readonly isOfOldKey: boolean
}

/**
 * Sessions as texts, `<due at>.<key id>.<sealed>`. The first two are a hint in clear: they say when it is worth to open
 * the third, and whoever tampers with them changes when, and never what.
 */
export class SessionTexts {
  readonly #seal: Seal
  readonly #opened: OpenedCookies<OpenedSession>

  constructor (seal: Seal, clock: () => number) {
    this.#seal = seal
    this.#opened = new OpenedCookies(clock)
  }

  /** @param dueAt - seconds since the epoch from which on the session wants to be opened at every request. */
  seal (session: Session, dueAt: number): string {
    const sealed = this.#seal.seal({ version: VERSION, ...session, tokens: pack(session.tokens) })
    return `${Math.floor(dueAt)}.${this.#seal.keyIds[0]}.${sealed}`
  }

  /** From when on it is worth to open this text: at once, if an older key has sealed it, and never, if none of ours has. */
  dueAt (text: string): number {
    const end = text.indexOf('.')
    switch (this.#seal.keyIds.indexOf(text.slice(end + 1, text.indexOf('.', end + 1)))) {
      case -1: return Infinity
      case 0: return Number(text.slice(0, end))
      default: return 0
    }
  }

  /** `undefined` for whatever does not open, and for a session of another provider. What was opened before is not opened again. */
  open (text: string, provider: string, log: FastifyBaseLogger): OpenedSession | undefined {
    const sealed = text.slice(text.indexOf('.', text.indexOf('.') + 1) + 1)
    const session = this.#opened.get(sealed) ?? this.#unseal(sealed, log)
    return session?.provider === provider ? session : undefined
  }

  /** Ends what is remembered of a session. */
  forget (sessionId: string): void {
    this.#opened.forget(sessionId)
  }

  #unseal (sealed: string, log: FastifyBaseLogger): OpenedSession | undefined {
    const { content, isOfOldKey = false } = this.#seal.open(sealed, log) ?? {}
    const { version, provider, usedAt, tokens: packed } = content ?? {}
    const unpacked = version === VERSION && typeof packed === 'string' ? unpack(packed) : undefined
    if (unpacked === undefined || typeof provider !== 'string' || typeof usedAt !== 'number') return undefined
    const session = { provider, usedAt, tokens: unpacked.tokens, isOfOldKey }
    this.#opened.remember(sealed, session, unpacked.size)
    return session
  }
}

/** Of one session the one that was refreshed last, of two the one that was used last. */
export function isNewer ({ usedAt, tokens }: Session, other: Session | undefined): boolean {
  if (other === undefined) return true
  return tokens.sessionId === other.tokens.sessionId && tokens.generation !== other.tokens.generation ? tokens.generation > other.tokens.generation : usedAt > other.usedAt
}
