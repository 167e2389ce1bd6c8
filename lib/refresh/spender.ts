import type { Dispatcher } from 'undici'
import type { TokenSet } from '../tokens/token-set.ts'
import { askedFor, type TokenWish } from '../tokens/token-wish.ts'
import type { RefreshableTokenSet } from './coordinator.ts'
import { classifyFailure, isAnswer, RefreshFailure } from './failure.ts'
import { type RefreshMessage, refreshTracing } from './refresh-message.ts'
import { keyOf, type RefreshRequest, RefreshRequests, type RefreshRequestsSettings } from './refresh-requests.ts'
import type { OwnTurn, Turn } from './sharing.ts'

/** Spends refresh tokens: each once, and never one that is known to be dead. */
export class Spender {
  readonly #settings: RefreshRequestsSettings
  readonly #requests: RefreshRequests
  /** Who waits for a refresh token, and since when: in milliseconds of this machine. */
  readonly #waiting = new Map<string, { requests: number, since: number }>()

  constructor (settings: RefreshRequestsSettings) {
    this.#settings = settings
    this.#requests = new RefreshRequests(settings)
  }

  /**
   * The successor of a token set, from whoever spends its refresh token first. What another wish was refused says nothing
   * of this one: who has waited for that asks for itself.
   *
   * @throws RefreshFailure
   */
  async successor (tokens: RefreshableTokenSet, wish: TokenWish, dispatcher: Dispatcher, turn: Turn): Promise<TokenSet> {
    const { coordinator, pauses, asking, background } = this.#settings
    const { refreshToken } = tokens
    const waiting = this.#waiting.get(refreshToken) ?? { requests: 0, since: performance.now() }
    this.#waiting.set(refreshToken, waiting)
    waiting.requests++
    try {
      for (;;) {
        let isOurs = false
        try {
          return await coordinator.once(tokens, async () => {
            isOurs = true
            const spending = this.#spend(tokens, wish, dispatcher, turn)
            background.add(spending)
            return await spending
          })
        } catch (error) {
          if (isOurs || !(error instanceof RefreshFailure) || !isAnswer(error.class) || !error.wasAsked) throw error
          if (coordinator.hasEnded(tokens.sessionId)) throw new RefreshFailure('loggedOut')
          // Where it is this one's matter too, nobody needs to stand in line again to be told.
          pauses.enter(refreshToken)
          pauses.enter(keyOf(tokens, wish))
        }
      }
    } catch (error) {
      const failure = classifyFailure(error)
      asking.disappointed(failure)
      throw failure
    } finally {
      if (--waiting.requests === 0) this.#waiting.delete(refreshToken)
    }
  }

  /** When the refresh of a token set was begun that somebody waits for, in milliseconds of this machine. */
  startOf ({ refreshToken = '' }: TokenSet): number {
    return this.#waiting.get(refreshToken)?.since ?? Infinity
  }

  /** Whether the refresh token is known to be dead, without asking anybody; for good, where no response on its way may bring another one. */
  isDead ({ refreshToken }: TokenSet, forGood: boolean): boolean {
    const { pauses } = this.#settings
    return refreshToken !== undefined && (forGood ? pauses.isOver(refreshToken) : pauses.isDead(refreshToken))
  }

  /** Whether the session of this token set has ended for good, so that it is to be wiped; the first time that is told. */
  endIfOver ({ refreshToken, sessionId }: TokenSet): boolean {
    const { pauses, events } = this.#settings
    if (refreshToken === undefined || !pauses.isOver(refreshToken)) return false
    if (pauses.isFirstToTell(refreshToken)) events.ended(sessionId, 'refreshTokenDead')
    return true
  }

  /** What goes on behind all who wait for it. */
  async #spend (tokens: RefreshableTokenSet, wish: TokenWish, dispatcher: Dispatcher, turn: Turn): Promise<TokenSet> {
    const { registration, pauses } = this.#settings
    const { sessionId, refreshToken } = tokens
    const message: RefreshMessage = { ...registration, sessionId, ...askedFor(wish) }
    return await refreshTracing.trace(message, async () => {
      try {
        pauses.enter(refreshToken)
        pauses.enter(keyOf(tokens, wish))
        return await this.#takeTurn({ tokens, wish, dispatcher, message, requests: () => this.#waiting.get(refreshToken)?.requests ?? 0 }, turn)
      } finally {
        message.waiters = this.#waiting.get(refreshToken)?.requests
      }
    })
  }

  /** What another process has got for it, or what this one gets. */
  async #takeTurn (request: Omit<RefreshRequest, keyof OwnTurn>, turn: Turn): Promise<TokenSet> {
    const { tokens, message } = request
    const entry = await this.#settings.sharing.enter(tokens, turn).catch((error: unknown) => {
      const failure = classifyFailure(error)
      throw failure.class === 'ended' ? this.#settings.pauses.failed(tokens.refreshToken, failure, true) : failure
    })
    if (!('successor' in entry)) return await this.#requests.send({ ...request, ...entry })
    message.outcome = 'joined'
    return entry.successor
  }
}
