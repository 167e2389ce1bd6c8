import type { TokenClaims } from 'fastify'
import type { Provider } from '../provider.ts'
import { GuardedStore } from '../stores/guarded-store.ts'
import type { SessionPlace } from '../stores/session-place.ts'
import { isClaims } from '../tokens/claims.ts'
import { tellSessionEnded } from '../tokens/events.ts'
import { completeWish, type TokenSet } from '../tokens/token-set.ts'
import type { TokenWish } from '../tokens/token-wish.ts'

/** What one request, or a job, reads of one session. */
export abstract class StoredSession {
  protected readonly provider: Provider
  protected readonly place: SessionPlace
  readonly store: GuardedStore
  /** What was read, or written since; `undefined` before. */
  protected known: TokenSet | null | undefined
  #reading: Promise<TokenSet | null> | undefined
  /** What every process has been told the end of. */
  #forgotten: string | undefined

  constructor (provider: Provider, place: SessionPlace) {
    this.provider = provider
    this.place = place
    this.store = new GuardedStore(place, provider.overflow)
  }

  /** What is stored, where nobody has to be waited for to know it: in the request itself, or it was asked for before. Else `undefined`. */
  get atHand (): TokenSet | null | undefined {
    if (this.store.isEndedByApp) return undefined
    if (!this.isAsked && this.store.writesResponse) this.#read()
    return this.known
  }

  /**
   * What to go by. A request that goes on for long, with a store on the server, looks again before anything is spent: others
   * have refreshed meanwhile, or ended the session, and of other processes nobody else knows.
   */
  async latest (wish: TokenWish, forceRenewal: boolean | string = false): Promise<TokenSet | null> {
    if (this.store.isEndedByApp) return null
    const isFirst = this.known === undefined
    const known = await this.tokens()
    if (isFirst || known === null || this.store.writesResponse) return known
    const { coordinator, refresher } = this.provider
    if (!coordinator.isSuperseded(known) && refresher.isCurrent(known, completeWish(known, wish), forceRenewal)) return known
    const found = await this.store.read()
    if (found?.sessionId === known.sessionId && found.generation <= known.generation) return known
    this.known = found
    return found
  }

  /** Whose it is, without asking anybody; `null` where only a login helps. */
  async claims (): Promise<TokenClaims | null> {
    const stored = this.store.isEndedByApp ? null : await this.tokens()
    const living = stored === null ? undefined : this.provider.refresher.living(stored)
    if (living === undefined) return null
    const { claims = {} } = living
    return isClaims(claims) ? claims : null
  }

  /** For a logout or a login, what cannot be read is as good as nothing: it is cleared or replaced all the same. */
  async readable (): Promise<TokenSet | null> {
    try {
      return await this.tokens()
    } catch (error) {
      this.place.log.warn({ err: error }, 'The session that there was could not be read; it is cleared or replaced all the same')
      return null
    }
  }

  /** What there is to be ended. `null` where there is nothing, or it has ended before. */
  async live (): Promise<TokenSet | null> {
    const tokens = await this.readable()
    return tokens === null || this.provider.coordinator.hasEnded(tokens.sessionId) ? null : tokens
  }

  /** No refresh brings this session back. */
  async forget (tokens: TokenSet): Promise<void> {
    if (this.#forgotten === tokens.sessionId) return
    this.#forgotten = tokens.sessionId
    this.provider.exchanger.forget(tokens.sessionId)
    await this.provider.sharing.end(tokens)
  }

  /** What is stored, read once. A failed read is never a logout. */
  protected async tokens (): Promise<TokenSet | null> {
    if (!this.isAsked) this.#read()
    return this.known ?? await this.#reading ?? null
  }

  /** What was read or is being read; `undefined` where nobody has asked, or that fails. */
  protected async asked (): Promise<TokenSet | null | undefined> {
    return this.known ?? await this.#reading?.catch(() => undefined)
  }

  protected get isAsked (): boolean {
    return this.known !== undefined || this.#reading !== undefined
  }

  #read (): void {
    const found = this.store.read()
    const isSimple = found !== null && !(found instanceof Promise) && !this.provider.replaced.isOver(found.sessionId)
    if (isSimple) this.known = this.#arrived(found)
    else this.#reading = this.#found(found).finally(() => { this.#reading = undefined })
  }

  async #found (found: Promise<TokenSet | null> | TokenSet | null): Promise<TokenSet | null> {
    const tokens = await found
    if (tokens === null) await this.#tellExpired()
    else if (this.provider.replaced.isOver(this.#arrived(tokens).sessionId)) await this.forget(tokens)
    this.known ??= tokens
    return tokens
  }

  /** Only here, and not for what this request has just refreshed itself: that has yet to reach the browser. */
  #arrived (tokens: TokenSet): TokenSet {
    this.provider.coordinator.arrived(tokens)
    return tokens
  }

  /** Whether nothing of it is to reach the browser any more. */
  protected isOver ({ sessionId }: TokenSet): boolean {
    return this.provider.coordinator.hasEnded(sessionId) || this.provider.replaced.has(sessionId)
  }

  /** Once, however often a copy of it comes. */
  async #tellExpired (): Promise<void> {
    const { expired } = this.store
    const { name, coordinator, onSessionEnded } = this.provider
    if (expired === undefined || coordinator.hasEnded(expired.sessionId)) return
    tellSessionEnded(this.place.log, onSessionEnded, { provider: name, sessionId: expired.sessionId, reason: 'expired' })
    await this.forget(expired)
  }
}
