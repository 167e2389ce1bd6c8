import type { FastifyBaseLogger } from 'fastify'
import type { Dispatcher } from 'undici'
import type { Registration } from '../diagnostics.ts'
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
import { classifyFailure, ofWish, RefreshFailure } from './failure.ts'
import { tellFailure } from './failure-message.ts'
import type { Pauses } from './pauses.ts'
import type { About, RefreshEvents } from './refresh-events.ts'
import type { RefreshMessage } from './refresh-message.ts'
import type { OwnTurn, Sharing } from './sharing.ts'

export interface RefreshRequestsSettings {
  readonly registration: Registration
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

/** One refresh. */
export interface RefreshRequest extends OwnTurn {
  readonly tokens: RefreshableTokenSet
  readonly wish: TokenWish
  readonly dispatcher: Dispatcher
  /** How many wait for it by now. */
  readonly requests: () => number
  readonly message: RefreshMessage
}

/** What is asked of the token service with a refresh token, and what comes of it. */
export class RefreshRequests {
  readonly #settings: RefreshRequestsSettings

  constructor (settings: RefreshRequestsSettings) {
    this.#settings = settings
  }

  /**
   * One request to the token service. It belongs to nobody's request: a client that leaves does not lose the answer.
   *
   * @throws RefreshFailure
   */
  async send (request: RefreshRequest): Promise<TokenSet> {
    const { tokenService, asking, pauses, retryAmbiguous, clock } = this.#settings
    const { tokens, wish, dispatcher, isOurTurn, mayBeSent } = request
    const askedAt = clock()
    const send = async (wary: Dispatcher) => await tokenService.refresh(tokens, wish, wary)
    const question = { key: keyOf(tokens, wish), dispatcher, send, retryAmbiguous, risksNothing: mayBeSent || pauses.mayBeSpent(tokens.refreshToken), isOurTurn }
    const answer = await asking.ask(question).catch(classifyFailure)
    const about = { durationSeconds: clock() - askedAt, requests: request.requests() }
    return answer instanceof RefreshFailure ? await this.#salvage(request, answer, about) : await this.#keep(request, answer, about)
  }

  async #keep ({ tokens, wish, dispatcher }: RefreshRequest, successor: TokenSet, about: About): Promise<TokenSet> {
    const { pauses, clock, events } = this.#settings
    pauses.succeeded(tokens.refreshToken)
    pauses.succeeded(keyOf(tokens, wish))
    if (!await this.#mayLive(tokens, successor)) {
      this.#discard(revocableTokens(successor, clock()), dispatcher)
      throw new RefreshFailure('loggedOut')
    }
    this.#pauseIfExpired(successor, wish)
    events.refreshed(tokens, successor, about)
    return successor
  }

  /** An answer of no use that has brought a new refresh token has spent the old one: the session goes on with the new one, after a pause. */
  async #salvage ({ tokens, wish, dispatcher, message }: RefreshRequest, answered: RefreshFailure, about: About): Promise<TokenSet> {
    const { sharing, pauses, events } = this.#settings
    const failure = answered.wasAsked ? this.#remember(tokens, answered, wish) : answered
    const salvaged = answered.cause instanceof AnswerError ? answered.cause.salvagedRefreshToken() : undefined
    if (answered.wasAsked) events.failed(tokens, failure, about)
    if (salvaged !== undefined && failure.class === 'badResponse') {
      const successor = salvagedTokenSet(tokens, salvaged)
      pauses.failed(keyOf(successor, wish), failure)
      Object.assign(message, tellFailure(failure))
      if (await this.#mayLive(tokens, successor)) return successor
    }
    if (salvaged !== undefined) this.#discard([{ token: salvaged, hint: 'refresh_token' }], dispatcher)
    await sharing.giveUp(tokens, failure)
    throw failure
  }

  /** Tells the other processes; a logout wins, wherever it was. */
  async #mayLive (tokens: RefreshableTokenSet, successor: TokenSet): Promise<boolean> {
    const { sharing, coordinator } = this.#settings
    return await sharing.keep(tokens, successor) && !coordinator.hasEnded(tokens.sessionId)
  }

  /** The answer to the login's own refresh is the refresh token's matter, and that to another wish only that wish's. Whatever may have spent the token is the token's. */
  #remember (tokens: RefreshableTokenSet, answered: RefreshFailure, wish: TokenWish): RefreshFailure {
    const { pauses } = this.#settings
    const failure = isLoginsOwn(tokens, wish) ? answered : ofWish(answered)
    const mayBeSpent = failure.class === 'ambiguous' || (failure.class === 'badResponse' && !(failure.cause instanceof AnswerError && failure.cause.status >= 300))
    const isOfToken = mayBeSpent || failure.endsSession
    return pauses.failed(isOfToken ? tokens.refreshToken : keyOf(tokens, wish), failure, isLoginsOwn(tokens, wish))
  }

  /** A token that is born expired serves those who waited for it; nobody asks for the next one at once. */
  #pauseIfExpired (successor: TokenSet, wish: TokenWish): void {
    const token = findAccessToken(successor, wish)
    if (token === undefined || !isExpired(token, this.#settings.clock())) return
    this.#settings.pauses.failed(keyOf(successor, wish), new RefreshFailure('unavailable', { cause: new Error('the last token came with no lifetime') }))
  }

  /** Tokens that nobody may use any more are revoked, as well as that goes. */
  #discard (tokens: readonly Revocable[], dispatcher: Dispatcher): void {
    const { tokenService, background, log } = this.#settings
    background.add(tokenService.revoke(tokens, dispatcher)
      .catch((error: unknown) => log.warn({ err: error }, 'Tokens that nobody holds any more could not be revoked')))
  }
}

/** Whose matter an answer is: the login's own refresh is about the refresh token, everything else about a wish of the session. */
export function keyOf (tokens: TokenSet, wish: TokenWish): string {
  const { sessionId, refreshToken = sessionId } = tokens
  return isLoginsOwn(tokens, wish) ? refreshToken : JSON.stringify([sessionId, wish.resource, wish.scope])
}
