import { hasCode, HeadersSent, StoreFailed, Upgrade } from '../errors.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { Overflow } from './overflow.ts'
import type { StoreContext, TokenStore } from './token-store.ts'

/** A store as one request meets it: its failures have a name, and nothing is written that could not reach the browser any more. */
export class GuardedStore {
  readonly #store: TokenStore
  readonly #context: StoreContext
  readonly #overflow: Overflow

  constructor (store: TokenStore, context: StoreContext, overflow: Overflow) {
    this.#store = store
    this.#context = context
    this.#overflow = overflow
  }

  get dueAt (): number | undefined {
    return this.#store.dueAt?.(this.#context)
  }

  get ignoresContext (): boolean {
    return this.#store.ignoresContext ?? false
  }

  get isEndedByApp (): boolean {
    return this.#store.endedByApp?.(this.#context) ?? false
  }

  /** What the session was that this request has brought too late. */
  get expired (): TokenSet | undefined {
    return this.#store.expired?.(this.#context)
  }

  /** Whether it is on its way to the browser that the session changes, and in no place where others could have changed it. */
  get writesResponse (): boolean {
    return this.#store.writesResponse ?? false
  }

  /** `false` once the headers are sent, and on a WebSocket handshake, where the session is in a cookie. */
  get isWritable (): boolean {
    const { reply } = this.#context
    return !this.writesResponse || !(this.#isHandshake || reply.sent || reply.raw.headersSent)
  }

  /** @throws FST_TOKEN_HEADERS_SENT, FST_TOKEN_UPGRADE */
  checkWritable (): void {
    if (!this.isWritable) throw this.#isHandshake ? new Upgrade() : new HeadersSent()
  }

  /** @throws FST_TOKEN_STORE_FAILED */
  async read (): Promise<TokenSet | null> {
    const tokens = await this.#named('read', () => this.#store.get(this.#context))
    return tokens == null ? null : this.#overflow.restore(tokens)
  }

  /** @throws FST_TOKEN_STORE_FAILED, or what the store throws with a code of this plugin. */
  async write (tokens: TokenSet): Promise<void> {
    await this.#named('write', () => this.#store.set(this.#context, tokens))
  }

  /** @throws FST_TOKEN_STORE_FAILED */
  async clear (): Promise<void> {
    await this.#named('clear', () => this.#store.clear(this.#context))
  }

  /** Writes what a refresh has brought, or as much of it as finds room. A later request can write it as well: a failure is only logged. */
  async tryWrite (tokens: TokenSet): Promise<void> {
    if (this.isWritable) await this.attempt(() => this.#overflow.write(tokens, (kept) => this.write(kept)))
  }

  async tryTouch (): Promise<void> {
    await this.attempt(() => this.#named('write', () => this.#store.touch?.(this.#context)))
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
    if (this.writesResponse) this.#store.retract?.(this.#context)
  }

  /** Takes back what was written of a session that has ended meanwhile. */
  async undo (sessionId: string): Promise<void> {
    if (this.#store.retract === undefined) return await this.tryClear(sessionId)
    await this.attempt(async () => await this.#store.retract?.(this.#context))
  }

  /** Its answer is written by whoever takes the connection over, without the headers of the reply (RFC 6455 §4). */
  get #isHandshake (): boolean {
    return this.#context.request.headers.upgrade?.toLowerCase() === 'websocket'
  }

  async #named<Result> (verb: string, access: () => Promise<Result> | Result): Promise<Result> {
    try {
      return await access()
    } catch (error) {
      throw hasCode(error) ? error : new StoreFailed(verb, { cause: error })
    }
  }

  /** What a later request can make good. */
  async attempt (access: () => Promise<void>): Promise<void> {
    try {
      await access()
    } catch (error) {
      this.#context.request.log.error({ err: error }, 'The token store failed; a later request tries again')
    }
  }
}
