import type { TokenClaims } from 'fastify'
import { Unauthenticated } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { errorOf, RefreshFailure } from '../refresh/failure.ts'
import { SessionState } from './session-state.ts'
import { revocableTokens } from '../tokens/revocation.ts'
import type { StoreContext } from '../stores/token-store.ts'
import type { TokenExchange } from '../tokens/token-exchange.ts'
import type { ProofRequest } from '../token-service/dpop.ts'
import type { Subject } from '../token-service/token-service.ts'
import { type AccessToken, completeWish, findAccessToken, type JsonWebKey, type TokenSet } from '../tokens/token-set.ts'
import type { TokenResponse } from '../tokens/from-response.ts'
import { readWish, type TokenWish } from '../tokens/token-wish.ts'

/** Which access token of the session. */
export interface TokenRequest extends TokenWish {
  /** `true` for a new token in any case; the token that an API rejected for a new one only if it is still the current one. */
  readonly forceRenewal?: boolean | string
}

/** What one request wants of one session. */
export class SessionTokens {
  readonly #provider: Provider
  readonly #context: StoreContext
  readonly #session: SessionState
  /** What a refresh of this request has brought: it serves this request even if it came without any lifetime. */
  #renewed: AccessToken | undefined

  constructor (provider: Provider, context: StoreContext) {
    this.#provider = provider
    this.#context = context
    this.#session = new SessionState(provider, context)
  }

  /** Whether it is the one session of its provider on this request. */
  get ignoresContext (): boolean {
    return this.#session.store.ignoresContext
  }

  /** Whether it is worth to read the session before anybody asks for a token: not as long as its store can tell that nothing is to be done. */
  isDue ({ resource, scope }: TokenWish): boolean {
    if (resource !== undefined || scope !== undefined) return true
    const { dueAt } = this.#session.store
    return dueAt === undefined || !(this.#provider.clock() < dueAt)
  }

  /**
   * The current access token and the token set it is in: stored before anybody gets it.
   *
   * @throws FST_TOKEN_UNAUTHENTICATED, FST_TOKEN_LOGIN_REQUIRED, FST_TOKEN_SERVICE_UNAVAILABLE, FST_TOKEN_SERVICE_REFUSED,
   * FST_TOKEN_SERVICE_BAD_RESPONSE, FST_TOKEN_STORE_FAILED, FST_TOKEN_HEADERS_SENT, FST_TOKEN_UPGRADE
   */
  async current (request: TokenRequest): Promise<Subject> {
    try {
      return await this.#current(request)
    } catch (error) {
      return throwCoded(error)
    }
  }

  /**
   * A token issued in exchange for the current one (RFC 8693).
   *
   * @throws the same, and FST_TOKEN_INVALID_PARAMETERS
   */
  async exchanged (exchange: TokenExchange, request: TokenRequest): Promise<AccessToken> {
    const { exchanger, backchannelFor } = this.#provider
    const dispatcher = backchannelFor(this.#context.request.server)
    return await exchanger.obtain((asked) => this.#current(asked), exchange, request, dispatcher).catch(throwCoded)
  }

  /**
   * A proof of possession for a request that the app sends itself (RFC 9449 §7).
   *
   * @throws what `current()` throws, FST_TOKEN_NO_DPOP_KEY, FST_TOKEN_INVALID_PARAMETERS
   */
  async dpopProof (proof: ProofRequest, request: TokenRequest): Promise<string> {
    const { tokens, token } = await this.current(request)
    return await this.#provider.tokenService.proof(tokens.dpopKey, { accessToken: token.accessToken, ...proof })
  }

  /** @throws RefreshFailure, and the coded errors that are none. */
  async #current (request: TokenRequest): Promise<Subject> {
    const valid = readWish(request)
    const { forceRenewal } = request
    const stored = await this.#session.latest(valid, forceRenewal)
    if (stored === null) throw new Unauthenticated()
    const wish = completeWish(stored, valid)
    const outcome = await this.#provider.refresher.obtain(stored, {
      ...wish,
      forceRenewal,
      dispatcher: this.#provider.backchannelFor(this.#context.request.server),
      maySpend: this.#session.store.isWritable
    })
    if ('failure' in outcome && outcome.isOver) await this.#session.wipe(outcome.tokens)
    else if (outcome.tokens !== stored) await this.#session.keep(outcome.tokens)
    if ('token' in outcome) {
      if (outcome.coming !== undefined) this.#session.keepWhatComes(outcome.coming)
      if (outcome.tokens !== stored) this.#renewed = outcome.token
      return outcome
    }
    const { tokens, failure } = outcome
    if (failure.class === 'headersSent') this.#session.store.checkWritable() // the error says why
    const token = findAccessToken(tokens, wish)
    if (token !== undefined && token === this.#renewed && !forceRenewal && !failure.endsSession) return { tokens, token }
    throw failure
  }

  async claims (): Promise<TokenClaims | null> {
    return await this.#session.claims()
  }

  async save (response: TokenResponse, dpopKey: JsonWebKey | undefined): Promise<TokenSet> {
    const tokens = await this.#provider.tokenService.adopt(response, dpopKey)
    await this.#session.start(tokens)
    return tokens
  }

  /** A new login. */
  async start (tokens: TokenSet): Promise<void> {
    await this.#session.start(tokens)
  }

  async clear (): Promise<void> {
    await this.#session.end(await this.#session.readable())
  }

  /** @returns what has ended. */
  async revoke (): Promise<TokenSet | null> {
    const { coordinator, sharing, tokenService, backchannelFor, clock } = this.#provider
    const tokens = await this.#session.readable()
    if (tokens !== null) {
      const known = coordinator.successorOf(tokens) ?? tokens
      const newest = await sharing.newestOf(known) ?? known
      await this.#session.forget(tokens)
      try {
        await tokenService.revoke(revocableTokens(newest, clock()), backchannelFor(this.#context.request.server))
      } catch (error) {
        this.#context.request.log.warn({ err: error }, 'The session is ended here, but its tokens could not be revoked at the provider')
      }
    }
    await this.#session.end(tokens)
    return tokens
  }

  /** As the response is sent. */
  async beforeSend (): Promise<void> {
    await this.#session.beforeSend()
  }
}

function throwCoded (error: unknown): never {
  throw error instanceof RefreshFailure ? errorOf(error) : error
}
