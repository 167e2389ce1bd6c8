import type { TokenClaims } from 'fastify'
import { tell } from '../tokens/events.ts'
import { isClaims } from '../tokens/claims.ts'
import type { Provider } from '../provider.ts'
import { GuardedStore } from '../stores/guarded-store.ts'
import type { StoreContext } from '../stores/token-store.ts'
import { completeWish, type TokenSet } from '../tokens/token-set.ts'
import type { TokenWish } from '../tokens/token-wish.ts'

/** One session as one request sees it: what was read, what was written since, and what is still to be. */
export class SessionState {
  readonly #provider: Provider
  readonly #context: StoreContext
  readonly store: GuardedStore
  #read: Promise<TokenSet | null> | undefined
  /** What this request has made of it: a login is started, a successor is written, or what is dead is wiped. */
  #change: 'none' | 'started' | 'written' | 'wiped' = 'none'

  constructor (provider: Provider, context: StoreContext) {
    this.#provider = provider
    this.#context = context
    this.store = new GuardedStore(provider.storeFor(context.request.server), context, provider.overflow)
  }

  /**
   * What to go by. A request that goes on for long, with a store on the server, looks again before anything is spent: others
   * have refreshed meanwhile, or ended the session, and of other processes nobody else knows.
   */
  async latest (wish: TokenWish, forceRenewal: boolean | string = false): Promise<TokenSet | null> {
    if (this.store.isEndedByApp) return null
    const isFirst = this.#read === undefined
    const known = await this.#tokens()
    if (isFirst || known === null || this.store.writesResponse) return known
    const { coordinator, refresher } = this.#provider
    if (!coordinator.isSuperseded(known) && refresher.isCurrent(known, completeWish(known, wish), forceRenewal)) return known
    const found = await this.store.read()
    if (found?.sessionId === known.sessionId && found.generation <= known.generation) return known
    this.#read = Promise.resolve(found)
    return found
  }

  /** Whose it is, without asking anybody; `null` where only a login helps. */
  async claims (): Promise<TokenClaims | null> {
    const stored = this.store.isEndedByApp ? null : await this.#tokens()
    const living = stored === null ? undefined : this.#provider.refresher.living(stored)
    if (living === undefined) return null
    const { claims = {} } = living
    return isClaims(claims) ? claims : null
  }

  /** For a logout or a login, what cannot be read is as good as nothing: it is cleared or replaced all the same. */
  async readable (): Promise<TokenSet | null> {
    try {
      return await this.#tokens()
    } catch (error) {
      this.#context.request.log.warn({ err: error }, 'The session that there was could not be read; it is cleared or replaced all the same')
      return null
    }
  }

  /**
   * A new login.
   *
   * @returns the session before it, if there was one that had not ended.
   */
  async start (tokens: TokenSet): Promise<TokenSet | null> {
    this.store.checkWritable()
    const before = await this.readable()
    await this.store.write(tokens)
    this.#read = Promise.resolve(tokens)
    this.#change = 'started'
    return before === null || before.sessionId === tokens.sessionId || this.#isOver(before) ? null : before
  }

  /** Keeps a successor. Where that fails the request has its token all the same: the coordinator carries the successor on. */
  async keep (tokens: TokenSet): Promise<void> {
    const known = await this.#read
    if (known && known.generation >= tokens.generation) return
    this.#read = Promise.resolve(tokens)
    this.#change = 'written'
    await this.store.tryWrite(tokens)
    // A logout has crossed the write, and it wins.
    if (this.#isOver(tokens)) await this.store.undo(tokens.sessionId)
  }

  /** A refresh goes on behind the answer. A store on the server gets what it brings as it comes, and a cookie with a later response. */
  keepWhatComes (successor: Promise<TokenSet>): void {
    if (this.store.writesResponse) return
    this.#provider.background.add(successor.then((tokens) => this.keep(tokens)))
  }

  /** Ends what is dead. */
  async wipe ({ sessionId }: TokenSet): Promise<void> {
    this.#change = 'wiped'
    await this.store.tryClear(sessionId)
  }

  /** What there is to be ended. `null` where there is nothing, or it has ended before. */
  async live (): Promise<TokenSet | null> {
    const tokens = await this.readable()
    return tokens === null || this.#provider.coordinator.hasEnded(tokens.sessionId) ? null : tokens
  }

  /** A logout. */
  async end (tokens: TokenSet | null): Promise<void> {
    const { name, onSessionEnded } = this.#provider
    if (tokens !== null) await this.forget(tokens)
    this.store.checkWritable()
    await this.store.clear()
    this.#read = Promise.resolve(null)
    if (tokens !== null) tell(this.#context.request.log, 'onSessionEnded', onSessionEnded, { provider: name, sessionId: tokens.sessionId, reason: 'logout' })
  }

  /** No refresh brings this session back; what is still remembered of earlier ones goes within the hour. */
  async forget (tokens: TokenSet): Promise<void> {
    this.#provider.exchanger.forget(tokens.sessionId)
    await this.#provider.sharing.end(tokens)
  }

  /**
   * As the response is sent, a while after it was begun: a logout meanwhile wins, a newer successor is what the browser
   * should have, and an unchanged session may need its inactivity limit pushed back.
   */
  async beforeSend (): Promise<void> {
    if (this.store.isEndedByApp) return await this.#endWithApp()
    const tokens = await this.#read?.catch(() => null)
    if (!tokens || !this.store.isWritable) return
    const { coordinator } = this.#provider
    if (this.#isOver(tokens)) return this.#change === 'none' ? undefined : await this.store.undo(tokens.sessionId)
    // A cookie is wiped by one response only: by the time of the next there may be a new login.
    if (this.#change === 'wiped') return await this.forget(tokens)
    if (this.#change === 'none' && !coordinator.isSuperseded(tokens)) return await this.#touch(tokens)
    const newest = coordinator.successorOf(tokens)
    if (newest !== undefined) await this.keep(newest)
    else if (this.#change === 'written' && coordinator.isSuperseded(tokens)) this.store.retract()
  }

  /** A cookie is written only where no other process has refreshed the session: the browser has or gets that one's. */
  async #touch (tokens: TokenSet): Promise<void> {
    const { sharing, clock } = this.#provider
    const { dueAt = -Infinity, writesResponse } = this.store
    const newest = writesResponse && clock() >= dueAt ? await sharing.newestOf(tokens) : tokens
    if (newest === tokens) await this.store.tryTouch()
    else if (newest !== undefined) await this.keep(newest)
  }

  /** What is stored, read once. A failed read is never a logout. */
  #tokens (): Promise<TokenSet | null> {
    this.#read ??= this.store.read().then(async (tokens) => {
      // Only here, and not for what this request has just refreshed itself: that has yet to reach the browser.
      if (tokens !== null) this.#provider.coordinator.arrived(tokens)
      if (tokens !== null && this.#provider.replaced.isOver(tokens.sessionId)) await this.forget(tokens)
      return tokens
    }, (error: unknown) => {
      this.#read = undefined
      throw error
    })
    return this.#read
  }

  /** Whether nothing of it is to reach the browser any more. */
  #isOver ({ sessionId }: TokenSet): boolean {
    return this.#provider.coordinator.hasEnded(sessionId) || this.#provider.replaced.has(sessionId)
  }

  async #endWithApp (): Promise<void> {
    const tokens = await this.live()
    if (tokens !== null) await this.store.attempt(() => this.end(tokens))
  }
}
