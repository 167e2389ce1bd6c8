import { hasCode, HeadersSent, storeFailed, Upgrade } from '../errors.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { Overflow } from './overflow.ts'
import type { SessionPlace } from './session-place.ts'

/** The place of a session as its caller meets it: its failures have a name, and nothing is written that could not reach the browser any more. */
export class GuardedStore {
  readonly #place: SessionPlace
  readonly #overflow: Overflow

  constructor (place: SessionPlace, overflow: Overflow) {
    this.#place = place
    this.#overflow = overflow
  }

  get dueAt (): number | undefined {
    return this.#place.dueAt
  }

  /** When the session is over that was read or written. */
  get endsAt (): number | undefined {
    return this.#place.endsAt
  }

  get ignoresContext (): boolean {
    return this.#place.ignoresContext
  }

  get isEndedByApp (): boolean {
    return this.#place.isEndedByApp
  }

  /** What the session was that this request has brought too late. */
  get expired (): TokenSet | undefined {
    return this.#place.expired
  }

  /** Whether it is on its way to the browser that the session changes, and in no place where others could have changed it. */
  get writesResponse (): boolean {
    return this.#place.writesResponse
  }

  /** `false` once the headers are sent, and on a WebSocket handshake, where the session is in a cookie. */
  get isWritable (): boolean {
    return !this.writesResponse || this.#place.isResponseOpen
  }

  /** @throws FST_TOKEN_HEADERS_SENT, FST_TOKEN_UPGRADE */
  checkWritable (): void {
    if (!this.isWritable) throw this.#place.isHandshake ? new Upgrade() : new HeadersSent()
  }

  /** At once, where the store has it at hand. @throws FST_TOKEN_STORE_FAILED */
  read (): Promise<TokenSet | null> | TokenSet | null {
    const found = this.#named('read', () => this.#place.get())
    return found instanceof Promise ? found.then((tokens) => this.#restored(tokens)) : this.#restored(found)
  }

  /** @throws FST_TOKEN_STORE_FAILED, or what the store throws with a code of this plugin. */
  async write (tokens: TokenSet): Promise<void> {
    await this.#named('write', () => this.#place.set(tokens))
  }

  /** @throws FST_TOKEN_STORE_FAILED */
  async clear (): Promise<void> {
    await this.#named('clear', () => this.#place.clear())
  }

  /** Writes what a refresh has brought, or as much of it as finds room. A later request can write it as well: a failure is only logged. */
  async tryWrite (tokens: TokenSet): Promise<void> {
    if (this.isWritable) await this.attempt(() => this.#overflow.write(tokens, (kept) => this.write(kept)))
  }

  async tryTouch (): Promise<void> {
    await this.attempt(() => this.#named('write', () => this.#place.touch?.()))
  }

  /** Clears a session, and no other one that may be there by now. */
  async tryClear (sessionId: string): Promise<void> {
    if (!this.isWritable) return
    await this.attempt(async () => {
      if (this.writesResponse || (await this.read())?.sessionId === sessionId) await this.clear()
    })
  }

  /** Takes back what was put on the response, if that is where the session goes: the browser has or gets a newer one. */
  retract (): void {
    if (this.writesResponse) this.#place.retract?.()
  }

  /** Takes back what was written of a session that has ended meanwhile. */
  async undo (sessionId: string): Promise<void> {
    if (!this.#place.canRetract) return await this.tryClear(sessionId)
    await this.attempt(async () => await this.#place.retract?.())
  }

  #restored (tokens: TokenSet | null): TokenSet | null {
    return tokens == null ? null : this.#overflow.restore(tokens)
  }

  #named<Result> (verb: string, access: () => PromiseLike<Result> | Result): Promise<Result> | Result {
    try {
      const result = access()
      return isPending(result) ? Promise.resolve(result).catch((error: unknown) => { throw named(verb, error) }) : result
    } catch (error) {
      throw named(verb, error)
    }
  }

  /** What a later request can make good. */
  async attempt (access: () => Promise<void> | void): Promise<void> {
    try {
      await access()
    } catch (error) {
      this.#place.log.error({ err: error }, 'The token store failed; a later request tries again')
    }
  }
}

function isPending<Result> (result: PromiseLike<Result> | Result): result is PromiseLike<Result> {
  return typeof result === 'object' && result !== null && 'then' in result
}

function named (verb: string, error: unknown): unknown {
  return hasCode(error) ? error : storeFailed(verb, error)
}
