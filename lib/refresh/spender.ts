import type { FastifyBaseLogger } from 'fastify'
import type { Dispatcher } from 'undici'
import { type RefreshedEvent, type RefreshFailedEvent, type SessionEndedEvent, tell } from '../tokens/events.ts'
import { type Revocable, revocableTokens } from '../tokens/revocation.ts'
import { AnswerError } from '../token-service/token-response.ts'
import type { TokenService } from '../token-service/token-service.ts'
import { findAccessToken, type TokenSet } from '../tokens/token-set.ts'
import { isExpired } from '../tokens/lifetime.ts'
import { readClaims } from '../tokens/jwt.ts'
import { salvagedTokenSet } from '../tokens/from-response.ts'
import type { TokenWish } from '../tokens/token-wish.ts'
import { type ServiceBackOff, TokenBackOff } from './back-off.ts'
import type { RefreshableTokenSet, RefreshCoordinator } from './coordinator.ts'
import { classifyFailure, isAnswer, RefreshFailure } from './failure.ts'
import { askPatiently } from './retry.ts'

export interface SpenderSettings {
  readonly provider: string
  readonly tokenService: TokenService
  readonly coordinator: RefreshCoordinator
  /** The back-off that all requests to this token service share. */
  readonly service: ServiceBackOff
  readonly gracePeriod: number
  readonly retryAmbiguous: boolean
  readonly clock: () => number
  readonly log: FastifyBaseLogger
  readonly onRefreshed?: ((event: RefreshedEvent) => unknown) | undefined
  readonly onRefreshFailed?: ((event: RefreshFailedEvent) => unknown) | undefined
  readonly onSessionEnded?: ((event: SessionEndedEvent) => unknown) | undefined
}

/** Spends refresh tokens: each once, none while the service pauses, and never one that is known to be dead. */
export class Spender {
  readonly #settings: SpenderSettings
  readonly #service: ServiceBackOff
  readonly #refused: TokenBackOff
  readonly #waiting = new Map<string, number>()

  constructor (settings: SpenderSettings) {
    this.#settings = settings
    this.#service = settings.service
    this.#refused = new TokenBackOff(settings.gracePeriod, settings.clock)
  }

  /**
   * The successor of a token set, from whoever spends its refresh token first.
   *
   * @throws RefreshFailure
   */
  async successor (tokens: RefreshableTokenSet, wish: TokenWish, dispatcher: Dispatcher): Promise<TokenSet> {
    const { refreshToken } = tokens
    this.#waiting.set(refreshToken, this.#waitingFor(refreshToken) + 1)
    try {
      return await this.#settings.coordinator.once(tokens, async () => {
        this.#refused.enter(refreshToken)
        this.#service.enter()
        return await this.#spend(tokens, wish, dispatcher)
      })
    } finally {
      const others = this.#waitingFor(refreshToken) - 1
      if (others === 0) this.#waiting.delete(refreshToken)
      else this.#waiting.set(refreshToken, others)
    }
  }

  /** Whether the session of this token set has ended for good, so that it is to be wiped. */
  isOver ({ refreshToken }: TokenSet): boolean {
    return refreshToken !== undefined && this.#refused.isOver(refreshToken)
  }

  /** One request to the token service. It belongs to nobody's request: a client that leaves does not lose the answer. */
  async #spend (tokens: RefreshableTokenSet, wish: TokenWish, dispatcher: Dispatcher): Promise<TokenSet> {
    const { tokenService, coordinator, retryAmbiguous, clock, log, onRefreshed } = this.#settings
    const askedAt = clock()
    try {
      const successor = await askPatiently(() => tokenService.refresh(tokens, wish, dispatcher), retryAmbiguous)
      this.#service.answered()
      this.#refused.succeeded(tokens.refreshToken)
      if (coordinator.hasEnded(tokens.sessionId)) {
        this.#discard(revocableTokens(successor, clock()), dispatcher)
        throw new RefreshFailure('loggedOut')
      }
      this.#pauseIfExpired(successor, wish)
      tell(log, 'onRefreshed', onRefreshed, { ...this.#event(tokens, askedAt), tokens: successor, claims: newClaims(tokens, successor) })
      return successor
    } catch (error) {
      return this.#salvage(tokens, error, askedAt, dispatcher)
    }
  }

  /** An answer of no use that has brought a new refresh token has spent the old one: the session goes on with the new one, after a pause. */
  #salvage (tokens: RefreshableTokenSet, error: unknown, askedAt: number, dispatcher: Dispatcher): TokenSet {
    if (error instanceof RefreshFailure) throw error
    const failure = this.#remember(tokens, classifyFailure(error))
    const salvaged = error instanceof AnswerError ? error.salvagedRefreshToken() : undefined
    this.#tellFailed(tokens, failure, askedAt)
    if (salvaged === undefined) throw failure
    if (failure.class !== 'badResponse' || this.#settings.coordinator.hasEnded(tokens.sessionId)) {
      this.#discard([{ token: salvaged, hint: 'refresh_token' }], dispatcher)
      throw failure
    }
    this.#refused.failed(salvaged, failure)
    return salvagedTokenSet(tokens, salvaged)
  }

  /** Outages are remembered for the service, everything else for the one token. */
  #remember ({ refreshToken }: RefreshableTokenSet, failure: RefreshFailure): RefreshFailure {
    if (failure.class === 'unavailable' || failure.class === 'ambiguous') this.#service.failed(failure.retryAfter)
    else this.#service.answered()
    return failure.class === 'unavailable' ? failure : this.#refused.failed(refreshToken, failure)
  }

  /** A token that is born expired serves those who waited for it; nobody asks for the next one at once. */
  #pauseIfExpired (successor: TokenSet, wish: TokenWish): void {
    const token = findAccessToken(successor, wish)
    if (token === undefined || successor.refreshToken === undefined || !isExpired(token, this.#settings.clock())) return
    this.#refused.failed(successor.refreshToken, new RefreshFailure('unavailable', { cause: new Error('the last token came with no lifetime') }))
  }

  /** Tokens that nobody may use any more are revoked, as well as that goes. */
  #discard (tokens: readonly Revocable[], dispatcher: Dispatcher): void {
    this.#settings.tokenService.revoke(tokens, dispatcher)
      .catch((error: unknown) => this.#settings.log.warn({ err: error }, 'Tokens that nobody holds any more could not be revoked'))
  }

  #tellFailed (tokens: RefreshableTokenSet, failure: RefreshFailure, askedAt: number): void {
    if (!isAnswer(failure.class)) return
    const { provider, log, onRefreshFailed, onSessionEnded } = this.#settings
    const { sessionId } = tokens
    if (failure.class === 'refused') log.error({ err: failure }, 'The token service refuses the request of this app: check the client registration and the options')
    tell(log, 'onRefreshFailed', onRefreshFailed, {
      ...this.#event(tokens, askedAt), sessionId, failure: failure.class, error: failure, sessionEnded: failure.endsSession
    })
    if (failure.endsSession) tell(log, 'onSessionEnded', onSessionEnded, { provider, sessionId, reason: 'refreshTokenDead' })
  }

  #event ({ refreshToken }: RefreshableTokenSet, askedAt: number) {
    const { provider, clock } = this.#settings
    return { provider, durationSeconds: clock() - askedAt, requests: this.#waitingFor(refreshToken) }
  }

  #waitingFor (refreshToken: string): number {
    return this.#waiting.get(refreshToken) ?? 0
  }
}

function newClaims ({ idToken: before }: TokenSet, { idToken }: TokenSet): Record<string, unknown> | undefined {
  return idToken === undefined || idToken === before ? undefined : readClaims(idToken)
}
