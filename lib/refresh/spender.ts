import type { FastifyBaseLogger } from 'fastify'
import type { Dispatcher } from 'undici'
import { AnswerError } from '../token-service/token-response.ts'
import type { TokenService } from '../token-service/token-service.ts'
import { salvagedTokenSet } from '../tokens/from-response.ts'
import { isExpired } from '../tokens/lifetime.ts'
import { type Revocable, revocableTokens } from '../tokens/revocation.ts'
import { findAccessToken, isLoginsOwn, type TokenSet } from '../tokens/token-set.ts'
import type { TokenWish } from '../tokens/token-wish.ts'
import type { Asking } from './asking.ts'
import type { Background } from './background.ts'
import type { RefreshableTokenSet, RefreshCoordinator } from './coordinator.ts'
import { classifyFailure, isAnswer, ofWish, RefreshFailure } from './failure.ts'
import type { Pauses } from './pauses.ts'
import type { RefreshEvents } from './refresh-events.ts'
import type { Sharing, Turn } from './sharing.ts'

export interface SpenderSettings {
  readonly tokenService: TokenService
  readonly coordinator: RefreshCoordinator
  readonly sharing: Sharing
  readonly asking: Asking
  readonly pauses: Pauses
  readonly background: Background
  readonly events: RefreshEvents
  readonly retryAmbiguous: boolean
  readonly clock: () => number
  readonly log: FastifyBaseLogger
}

/** Spends refresh tokens: each once, and never one that is known to be dead. */
export class Spender {
  readonly #settings: SpenderSettings
  /** Who waits for a refresh token, and since when: in milliseconds of this machine. */
  readonly #waiting = new Map<string, { requests: number, since: number }>()

  constructor (settings: SpenderSettings) {
    this.#settings = settings
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
            pauses.enter(refreshToken)
            pauses.enter(keyOf(tokens, wish))
            const spending = this.#takeTurn(tokens, wish, dispatcher, turn)
            background.add(spending)
            return await spending
          })
        } catch (error) {
          if (isOurs || !(error instanceof RefreshFailure) || !isAnswer(error.class)) throw error
          if (coordinator.hasEnded(tokens.sessionId)) throw new RefreshFailure('loggedOut')
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

  /** What another process has got for it, or what this one gets. */
  async #takeTurn (tokens: RefreshableTokenSet, wish: TokenWish, dispatcher: Dispatcher, turn: Turn): Promise<TokenSet> {
    try {
      const known = await this.#settings.sharing.enter(tokens, turn)
      if (known !== undefined) return known
    } catch (error) {
      const failure = classifyFailure(error)
      throw failure.class === 'ended' ? this.#settings.pauses.failed(tokens.refreshToken, failure, true) : failure
    }
    return await this.#spend(tokens, wish, dispatcher)
  }

  /** One request to the token service. It belongs to nobody's request: a client that leaves does not lose the answer. */
  async #spend (tokens: RefreshableTokenSet, wish: TokenWish, dispatcher: Dispatcher): Promise<TokenSet> {
    const { tokenService, asking, retryAmbiguous, clock } = this.#settings
    const askedAt = clock()
    const send = async (wary: Dispatcher) => await tokenService.refresh(tokens, wish, wary)
    const answer = await asking.ask({ key: keyOf(tokens, wish), dispatcher, send, retryAmbiguous }).catch(classifyFailure)
    return answer instanceof RefreshFailure
      ? await this.#salvage(tokens, answer, wish, askedAt, dispatcher)
      : await this.#keep(tokens, answer, wish, askedAt, dispatcher)
  }

  async #keep (tokens: RefreshableTokenSet, successor: TokenSet, wish: TokenWish, askedAt: number, dispatcher: Dispatcher): Promise<TokenSet> {
    const { coordinator, sharing, pauses, clock, events } = this.#settings
    pauses.succeeded(tokens.refreshToken)
    pauses.succeeded(keyOf(tokens, wish))
    const isAlive = await sharing.keep(tokens, successor)
    if (!isAlive || coordinator.hasEnded(tokens.sessionId)) {
      this.#discard(revocableTokens(successor, clock()), dispatcher)
      throw new RefreshFailure('loggedOut')
    }
    this.#pauseIfExpired(successor, wish)
    events.refreshed(tokens, successor, this.#about(tokens, askedAt))
    return successor
  }

  /** An answer of no use that has brought a new refresh token has spent the old one: the session goes on with the new one, after a pause. */
  async #salvage (tokens: RefreshableTokenSet, answered: RefreshFailure, wish: TokenWish, askedAt: number, dispatcher: Dispatcher): Promise<TokenSet> {
    const { sharing, pauses, events } = this.#settings
    const failure = answered.wasAsked ? this.#remember(tokens, answered, wish) : answered
    const salvaged = answered.cause instanceof AnswerError ? answered.cause.salvagedRefreshToken() : undefined
    if (answered.wasAsked) events.failed(tokens, failure, this.#about(tokens, askedAt))
    if (salvaged !== undefined && failure.class === 'badResponse') {
      const successor = salvagedTokenSet(tokens, salvaged)
      pauses.failed(keyOf(successor, wish), failure)
      if (await sharing.keep(tokens, successor) && !this.#settings.coordinator.hasEnded(tokens.sessionId)) return successor
    }
    if (salvaged !== undefined) this.#discard([{ token: salvaged, hint: 'refresh_token' }], dispatcher)
    await sharing.giveUp(tokens, failure)
    throw failure
  }

  /** The answer to the login's own refresh is the refresh token's matter, and that to another wish only that wish's. Whatever may have spent the token is the token's. */
  #remember (tokens: RefreshableTokenSet, answered: RefreshFailure, wish: TokenWish): RefreshFailure {
    const { pauses } = this.#settings
    const failure = isLoginsOwn(tokens, wish) ? answered : ofWish(answered)
    const isOfToken = failure.class === 'ambiguous' || failure.class === 'badResponse' || failure.endsSession
    return pauses.failed(isOfToken ? tokens.refreshToken : keyOf(tokens, wish), failure, isLoginsOwn(tokens, wish))
  }

  /** A token that is born expired serves those who waited for it; nobody asks for the next one at once. */
  #pauseIfExpired (successor: TokenSet, wish: TokenWish): void {
    const token = findAccessToken(successor, wish)
    if (token === undefined || !isExpired(token, this.#settings.clock())) return
    this.#settings.pauses.failed(keyOf(successor, wish), new RefreshFailure('unavailable', { cause: new Error('the last token came with no lifetime') }))
  }

  #about ({ refreshToken }: RefreshableTokenSet, askedAt: number) {
    return { durationSeconds: this.#settings.clock() - askedAt, requests: this.#waiting.get(refreshToken)?.requests ?? 0 }
  }

  /** Tokens that nobody may use any more are revoked, as well as that goes. */
  #discard (tokens: readonly Revocable[], dispatcher: Dispatcher): void {
    const { tokenService, background, log } = this.#settings
    background.add(tokenService.revoke(tokens, dispatcher)
      .catch((error: unknown) => log.warn({ err: error }, 'Tokens that nobody holds any more could not be revoked')))
  }
}

/** Whose matter an answer is: the login's own refresh is about the refresh token, everything else about a wish of the session. */
function keyOf (tokens: TokenSet, wish: TokenWish): string {
  const { sessionId, refreshToken = sessionId } = tokens
  return isLoginsOwn(tokens, wish) ? refreshToken : JSON.stringify([sessionId, wish.resource, wish.scope])
}
