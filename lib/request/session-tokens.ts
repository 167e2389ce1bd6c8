import type { TokenClaims } from 'fastify'
import { isNobody, Unauthenticated } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { errorOf, RefreshFailure } from '../refresh/failure.ts'
import { SessionState } from './session-state.ts'
import { endReplaced, revokeLive } from './session-end.ts'
import type { SessionPlace } from '../stores/session-place.ts'
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

/** What one request, or a job, wants of one session. */
export class SessionTokens {
  readonly #provider: Provider
  readonly #place: SessionPlace
  /** Where a login and a logout begin. */
  readonly state: SessionState
  /** What a refresh of this request has brought: it serves this request even if it came without any lifetime. */
  #renewed: AccessToken | undefined

  constructor (provider: Provider, place: SessionPlace) {
    this.#provider = provider
    this.#place = place
    this.state = new SessionState(provider, place)
  }

  /** Whether it is the one session of its provider on this request. */
  get ignoresContext (): boolean {
    return this.state.store.ignoresContext
  }

  /** The current access token, where nobody is to be waited for, and nothing to be stored, until it is current. */
  atHand (request: TokenRequest): AccessToken | undefined {
    const stored = this.state.atHand
    return stored ? this.#provider.refresher.atHand(stored, completeWish(stored, readWish(request)), request.forceRenewal) : undefined
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
      throw coded(error, this.#provider)
    }
  }

  /**
   * A token issued in exchange for the current one (RFC 8693).
   *
   * @throws the same, and FST_TOKEN_INVALID_PARAMETERS
   */
  async exchanged (exchange: TokenExchange, request: TokenRequest): Promise<AccessToken> {
    const { exchanger, backchannelFor } = this.#provider
    const dispatcher = backchannelFor(this.#place.server)
    return await exchanger.obtain((asked) => this.#current(asked), exchange, request, dispatcher).catch((error: unknown) => {
      throw coded(error, this.#provider)
    })
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

  /** What an API has said in `DPoP-Nonce`. */
  keepNonce (origin: URL, nonce: string): void {
    this.#provider.tokenService.keepNonce(origin, nonce)
  }

  /** @throws RefreshFailure, and the coded errors that are none. */
  async #current (request: TokenRequest): Promise<Subject> {
    const valid = readWish(request)
    const { forceRenewal } = request
    const stored = await this.state.latest(valid, forceRenewal)
    if (stored === null) throw new Unauthenticated()
    const wish = completeWish(stored, valid)
    const outcome = await this.#provider.refresher.obtain(stored, {
      ...wish,
      forceRenewal,
      dispatcher: this.#provider.backchannelFor(this.#place.server),
      maySpend: this.state.store.isWritable
    })
    if ('failure' in outcome && outcome.isOver) await this.state.wipe(outcome.tokens)
    else if (outcome.tokens !== stored) await this.state.keep(outcome.tokens)
    if ('token' in outcome) {
      if (outcome.coming !== undefined) this.state.keepWhatComes(outcome.coming)
      if (outcome.tokens !== stored) this.#renewed = outcome.token
      return outcome
    }
    const { tokens, failure } = outcome
    if (failure.class === 'headersSent') this.state.store.checkWritable() // the error says why
    const token = findAccessToken(tokens, wish)
    if (token !== undefined && token === this.#renewed && !forceRenewal && !failure.endsSession) return { tokens, token }
    throw failure
  }

  async claims (): Promise<TokenClaims | null> {
    return await this.state.claims()
  }

  async save (response: TokenResponse, dpopKey: JsonWebKey | undefined, resource: string | undefined): Promise<TokenSet> {
    const tokens = await this.#provider.tokenService.adopt(response, dpopKey, readWish({ resource }))
    const earlier = await this.state.start(tokens)
    await this.#provider.sharing.logins?.add(tokens)
    await endReplaced(this.#provider, this.#place, earlier, tokens)
    return tokens
  }

  async clear (): Promise<void> {
    await this.state.end(await this.state.live())
  }

  /** @returns what has ended. */
  async revoke (): Promise<TokenSet | null> {
    const tokens = await revokeLive(this.#provider, this.#place, this.state)
    await this.state.end(tokens)
    return tokens
  }
}

/** What the caller gets to see; where only a login helps, with where that is. */
function coded (error: unknown, { name, loginPath }: Provider): unknown {
  const coded = error instanceof RefreshFailure ? errorOf(error) : error
  return isNobody(coded) ? Object.assign(coded, { provider: name, loginPath }) : coded
}
