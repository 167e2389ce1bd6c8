import type { TokenClaims } from 'fastify'
import { type SessionEndReason, tellSessionEnded } from '../tokens/events.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { StoredSession } from './stored-session.ts'

/** One session as one request sees it: what was read, what was written since, and what is still to be. */
export class SessionState extends StoredSession {
  /** What this request has made of it: a login is started, a successor is written, or what is dead is wiped. */
  #change: 'none' | 'started' | 'written' | 'wiped' = 'none'
  /** Whether this request counts as use of the session. */
  #isUse = true

  /**
   * A new login.
   *
   * @returns the session before it, if there was one that had not ended.
   */
  async start (tokens: TokenSet): Promise<TokenSet | null> {
    this.store.checkWritable()
    const before = await this.readable()
    await this.store.write(tokens)
    this.known = tokens
    this.#change = 'started'
    return before === null || before.sessionId === tokens.sessionId || this.isOver(before) ? null : before
  }

  /** Keeps a successor. Where that fails the request has its token all the same: the coordinator carries the successor on. */
  async keep (tokens: TokenSet): Promise<void> {
    const known = await this.asked()
    if (known && known.generation >= tokens.generation) return
    this.known = tokens
    this.#change = 'written'
    await this.store.tryWrite(tokens)
    // A logout has crossed the write, and it wins.
    if (this.isOver(tokens)) await this.store.undo(tokens.sessionId)
  }

  /** A refresh goes on behind the answer. A store on the server gets what it brings as it comes, and a cookie with a later response. */
  keepWhatComes (successor: Promise<TokenSet>): void {
    if (this.store.writesResponse) return
    this.provider.background.add(successor.then((tokens) => this.keep(tokens)))
  }

  /** Ends what is dead. */
  async wipe ({ sessionId }: TokenSet): Promise<void> {
    this.#change = 'wiped'
    await this.store.tryClear(sessionId)
  }

  /** A logout, or somebody else's word that it is over. */
  async end (tokens: TokenSet | null, reason: SessionEndReason = 'logout'): Promise<void> {
    const { name, onSessionEnded } = this.provider
    if (tokens !== null) await this.forget(tokens)
    this.store.checkWritable()
    await this.store.clear()
    this.known = null
    if (tokens !== null) tellSessionEnded(this.place.log, onSessionEnded, { provider: name, sessionId: tokens.sessionId, reason })
  }

  /**
   * Whose session it is, since when and until when, without asking anybody; `null` where only a login helps.
   *
   * @param counts - whether this request counts as use of it: the inactivity limit is pushed back then, and at once.
   */
  async about (counts: boolean): Promise<{ readonly claims: TokenClaims, readonly startedAt: number, /** As far as the store can tell. */ readonly endsAt: number | undefined } | null> {
    const claims = await this.claims()
    this.#isUse = counts
    if (counts) await this.beforeSend()
    const tokens = await this.asked()
    if (claims === null || !tokens) return null
    if (counts && this.#change === 'none') this.#change = 'written'
    return { claims, startedAt: tokens.startedAt, endsAt: this.store.endsAt }
  }

  /** Whether nothing is to be done as the response is sent: nobody has asked, or it was only read, and is neither over nor due. */
  get isSettled (): boolean {
    const { known, store, provider: { coordinator, clock } } = this
    if (store.isEndedByApp) return false
    if (!known) return known === null || !this.isAsked
    return this.#change === 'none' && !this.isOver(known) && !coordinator.isSuperseded(known) && store.writesResponse && clock() < (store.dueAt ?? -Infinity)
  }

  /**
   * As the response is sent, a while after it was begun: a logout meanwhile wins, a newer successor is what the browser
   * should have, and an unchanged session may need its inactivity limit pushed back.
   */
  async beforeSend (): Promise<void> {
    if (this.store.isEndedByApp) return await this.#endWithApp()
    const tokens = await this.asked()
    if (!tokens || !this.store.isWritable) return
    const { coordinator } = this.provider
    if (this.isOver(tokens)) return this.#change === 'none' ? undefined : await this.store.undo(tokens.sessionId)
    // A cookie is wiped by one response only: by the time of the next there may be a new login.
    if (this.#change === 'wiped') return await this.forget(tokens)
    if (this.#change === 'none' && !this.#isUse) return
    if (this.#change === 'none' && !coordinator.isSuperseded(tokens)) return await this.#touch(tokens)
    const newest = coordinator.successorOf(tokens)
    if (newest !== undefined) await this.keep(newest)
    else if (this.#change === 'written' && coordinator.isSuperseded(tokens)) this.store.retract()
  }

  /** A cookie is written only where no other process has refreshed the session: the browser has or gets that one's. */
  async #touch (tokens: TokenSet): Promise<void> {
    const { sharing, clock } = this.provider
    const { dueAt = -Infinity, writesResponse } = this.store
    const newest = writesResponse && clock() >= dueAt ? await sharing.newestOf(tokens) : tokens
    if (newest === tokens) await this.store.tryTouch()
    else if (newest !== undefined) await this.keep(newest)
  }

  async #endWithApp (): Promise<void> {
    const tokens = await this.live()
    if (tokens !== null) await this.store.attempt(() => this.end(tokens))
  }
}
