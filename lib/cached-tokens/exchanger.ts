import { LRUCache } from 'lru-cache'
import type { Dispatcher } from 'undici'
import type { Registration } from '../diagnostics.ts'
import type { Asking } from '../refresh/asking.ts'
import type { RefreshCoordinator } from '../refresh/coordinator.ts'
import { RefreshFailure } from '../refresh/failure.ts'
import { exchangeTracing } from './exchange-message.ts'
import type { TokenCache } from './token-cache.ts'
import { AnswerError } from '../token-service/token-response.ts'
import type { Subject, TokenService } from '../token-service/token-service.ts'
import { exchangeParameters, type TokenExchange } from '../tokens/token-exchange.ts'
import type { AccessToken } from '../tokens/token-set.ts'
import { askedFor, type TokenWish } from '../tokens/token-wish.ts'

/** Which access token of the session is exchanged, and whether what it brought is to be renewed. */
export interface ExchangeRequest extends TokenWish {
  readonly forceRenewal?: boolean | string
}

/** Tokens that were issued in exchange for a session's own (RFC 8693): kept in memory until they expire, and no longer than the session. */
export class Exchanger {
  readonly #registration: Registration
  readonly #tokenService: TokenService
  readonly #coordinator: RefreshCoordinator
  readonly #asking: Asking
  readonly #cache: TokenCache
  /** Exchanges that a new subject token did not help: it is not tried again for each of their failures. */
  readonly #hopeless = new LRUCache<string, true>({ max: 10_000 })

  constructor (registration: Registration, tokenService: TokenService, coordinator: RefreshCoordinator, asking: Asking, cache: TokenCache) {
    this.#registration = registration
    this.#tokenService = tokenService
    this.#coordinator = coordinator
    this.#asking = asking
    this.#cache = cache
  }

  /**
   * The token for an exchange. That the session's own token was renewed meanwhile says nothing against it; and where the
   * token service does not take that one, it is renewed once, as an API's 401 would have it (RFC 6750 §3.1).
   *
   * @param current - gives the session's own token.
   * @throws RefreshFailure, FST_TOKEN_INVALID_PARAMETERS, and what `current` throws
   */
  async obtain (current: (request: ExchangeRequest) => Promise<Subject>, asked: TokenExchange, { forceRenewal, ...wish }: ExchangeRequest, dispatcher: Dispatcher): Promise<AccessToken> {
    const parameters = exchangeParameters(asked)
    const subject = await current(wish)
    const { tokens: { sessionId }, token: { resource, requestedScope, accessToken } } = subject
    const key = `${sessionId} ${JSON.stringify([resource, requestedScope, parameters.toString()])}`
    const exchange = async (subject: Subject) => await this.#asking.ask({
      key,
      dispatcher,
      send: (wary) => this.#tokenService.exchange(subject, parameters, wary),
      retryAmbiguous: true,
      risksNothing: true
    })
    const ask = async () => {
      const token = await exchange(subject).catch(async (error: unknown) => {
        if (!blamesSubject(error) || this.#hopeless.has(key)) throw error
        this.#hopeless.set(key, true)
        const renewed = await current({ ...wish, forceRenewal: accessToken }).catch((failure: unknown) => {
          // Where there is no other token, this is still the matter of the exchange.
          throw failure instanceof RefreshFailure && !failure.endsSession ? error : failure
        })
        return await exchange(renewed)
      })
      this.#hopeless.delete(key)
      return token
    }
    const issued = await this.#cache.obtain(key, forceRenewal, {
      trace: (work) => exchangeTracing.trace({ ...this.#registration, sessionId, audience: asked.audience, ...askedFor(asked) }, work),
      ask
    })
    if (!this.#coordinator.hasEnded(sessionId)) return issued
    this.forget(sessionId)
    throw new RefreshFailure('loggedOut')
  }

  /** The session is over. */
  forget (sessionId: string): void {
    this.#cache.forget(`${sessionId} `)
  }
}

/** RFC 8693 §2.2.2 has `invalid_request` for a subject token that is not taken, and services say more. */
function blamesSubject (failure: unknown): boolean {
  const cause = failure instanceof RefreshFailure ? failure.cause : undefined
  return cause instanceof AnswerError && ['invalid_request', 'invalid_grant', 'invalid_token'].includes(String(cause.error))
}
