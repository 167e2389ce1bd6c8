import { Unauthenticated } from './errors.ts'
import { tell } from './events.ts'
import type { Provider } from './provider.ts'
import { errorOf, RefreshFailure } from './refresh/failure.ts'
import { revocableTokens } from './revocation.ts'
import { StoreAccess } from './stores/store-access.ts'
import type { StoreContext } from './stores/token-store.ts'
import type { TokenExchange } from './token-exchange.ts'
import type { ProofRequest } from './token-service/dpop.ts'
import type { Subject } from './token-service/token-service.ts'
import { type AccessToken, completeWish, findAccessToken, type JsonWebKey, type TokenResponse, type TokenSet } from './token-set.ts'
import { readWish, type TokenWish } from './token-wish.ts'

/** Which access token of the session. */
export interface TokenRequest extends TokenWish {
  /** `true` for a new token in any case; the token that an API rejected for a new one only if it is still the current one. */
  readonly forceRenewal?: boolean | string
}

/** One session as one request sees it: what was read, what was written since, and what is still to be. */
export class SessionAccess {
  readonly #provider: Provider
  readonly #context: StoreContext
  readonly #store: StoreAccess
  #read: Promise<TokenSet | null> | undefined
  /** What this request has made of it: a login is started, a successor is written, or what is dead is wiped. */
  #change: 'none' | 'started' | 'written' | 'wiped' = 'none'
  /** What a refresh of this request has brought: it serves this request even if it came without any lifetime. */
  #renewed: AccessToken | undefined

  constructor (provider: Provider, context: StoreContext) {
    this.#provider = provider
    this.#context = context
    this.#store = new StoreAccess(provider.storeFor(context.request.server), context)
  }

  /** Whether it is the one session of its provider on this request. */
  get ignoresContext (): boolean {
    return this.#store.ignoresContext
  }

  /** Whether it is worth to read the session before anybody asks for a token: not as long as its store can tell that nothing is to be done. */
  isDue ({ resource, scope }: TokenWish): boolean {
    if (resource !== undefined || scope !== undefined) return true
    const { dueAt } = this.#store
    return dueAt === undefined || !(this.#provider.clock() < dueAt)
  }

  /**
   * The current access token and the token set it is in: stored before anybody gets it.
   *
   * @throws FST_TOKEN_UNAUTHENTICATED, FST_TOKEN_LOGIN_REQUIRED, FST_TOKEN_SERVICE_UNAVAILABLE, FST_TOKEN_SERVICE_REFUSED,
   * FST_TOKEN_SERVICE_BAD_RESPONSE, FST_TOKEN_STORE_FAILED, FST_TOKEN_HEADERS_SENT
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
    const stored = this.#store.isEndedByApp ? null : await this.#latest(valid, forceRenewal)
    if (stored === null) throw new Unauthenticated()
    const wish = completeWish(stored, valid)
    const outcome = await this.#provider.refresher.obtain(stored, {
      ...wish,
      forceRenewal,
      dispatcher: this.#provider.backchannelFor(this.#context.request.server),
      maySpend: this.#store.isWritable
    })
    if ('failure' in outcome && outcome.isOver) await this.#wipe(outcome.tokens)
    else if (outcome.tokens !== stored) await this.#keep(outcome.tokens)
    if ('token' in outcome) {
      if (outcome.tokens !== stored) this.#renewed = outcome.token
      return outcome
    }
    const { tokens, failure } = outcome
    const token = findAccessToken(tokens, wish)
    if (token !== undefined && token === this.#renewed && !forceRenewal && !failure.endsSession) return { tokens, token }
    throw failure
  }

  async save (response: TokenResponse, dpopKey: JsonWebKey | undefined): Promise<TokenSet> {
    const tokens = await this.#provider.tokenService.adopt(response, dpopKey)
    await this.start(tokens)
    return tokens
  }

  /** A new login: whoever was logged in before is not any more. */
  async start (tokens: TokenSet): Promise<void> {
    this.#store.checkWritable()
    const before = await this.#readable()
    await this.#store.write(tokens)
    if (before !== null) this.#forget(before)
    this.#read = Promise.resolve(tokens)
    this.#change = 'started'
  }

  async clear (): Promise<void> {
    await this.#end(await this.#readable())
  }

  /** @returns what has ended. */
  async revoke (): Promise<TokenSet | null> {
    const { coordinator, tokenService, backchannelFor, clock } = this.#provider
    const tokens = await this.#readable()
    if (tokens !== null) {
      this.#forget(tokens)
      try {
        const newest = coordinator.successorOf(tokens) ?? tokens
        await tokenService.revoke(revocableTokens(newest, clock()), backchannelFor(this.#context.request.server))
      } catch (error) {
        this.#context.request.log.warn({ err: error }, 'The session is ended here, but its tokens could not be revoked at the provider')
      }
    }
    await this.#end(tokens)
    return tokens
  }

  /**
   * As the response is sent, a while after it was begun: a logout meanwhile wins, a newer successor is what the browser
   * should have, and an unchanged session may need its inactivity limit pushed back.
   */
  async beforeSend (): Promise<void> {
    if (this.#store.isEndedByApp) return await this.#endWithApp()
    const tokens = await this.#read?.catch(() => null)
    if (!tokens || !this.#store.isWritable) return
    const { coordinator } = this.#provider
    if (coordinator.hasEnded(tokens.sessionId)) return this.#change === 'none' ? undefined : await this.#store.undo(tokens.sessionId)
    // A cookie is wiped by one response only: by the time of the next there may be a new login.
    if (this.#change === 'wiped') return this.#forget(tokens)
    if (this.#change === 'none' && !coordinator.isSuperseded(tokens)) return await this.#store.tryTouch()
    const newest = coordinator.successorOf(tokens)
    if (newest !== undefined) await this.#keep(newest)
    else if (this.#change === 'written' && coordinator.isSuperseded(tokens)) this.#store.retract()
  }

  /**
   * What to go by. A request that goes on for long, with a store on the server, looks again before anything is spent: others
   * have refreshed meanwhile, or ended the session, and of other processes nobody else knows.
   */
  async #latest (wish: TokenWish, forceRenewal: boolean | string = false): Promise<TokenSet | null> {
    const isFirst = this.#read === undefined
    const known = await this.#tokens()
    if (isFirst || known === null || this.#store.writesResponse) return known
    const { coordinator, refresher } = this.#provider
    if (!coordinator.isSuperseded(known) && refresher.isCurrent(known, completeWish(known, wish), forceRenewal)) return known
    const found = await this.#store.read()
    if (found?.sessionId === known.sessionId && found.generation <= known.generation) return known
    this.#read = Promise.resolve(found)
    return found
  }

  /** What is stored, read once. A failed read is never a logout. */
  #tokens (): Promise<TokenSet | null> {
    this.#read ??= this.#store.read().then((tokens) => {
      // Only here, and not for what this request has just refreshed itself: that has yet to reach the browser.
      if (tokens !== null) this.#provider.coordinator.arrived(tokens)
      return tokens
    }, (error: unknown) => {
      this.#read = undefined
      throw error
    })
    return this.#read
  }

  /** For a logout or a login, what cannot be read is as good as nothing: it is cleared or replaced all the same (R24). */
  async #readable (): Promise<TokenSet | null> {
    try {
      return await this.#tokens()
    } catch (error) {
      this.#context.request.log.warn({ err: error }, 'The session that there was could not be read; it is cleared or replaced all the same')
      return null
    }
  }

  async #end (tokens: TokenSet | null): Promise<void> {
    const { name, onSessionEnded } = this.#provider
    if (tokens !== null) this.#forget(tokens)
    this.#store.checkWritable()
    await this.#store.clear()
    this.#read = Promise.resolve(null)
    if (tokens !== null) tell(this.#context.request.log, 'onSessionEnded', onSessionEnded, { provider: name, sessionId: tokens.sessionId, reason: 'logout' })
  }

  async #endWithApp (): Promise<void> {
    const tokens = await this.#readable()
    if (tokens !== null) await this.#store.attempt(() => this.#end(tokens))
  }

  /** No refresh brings this session back; what is still remembered of earlier ones goes within the hour. */
  #forget ({ sessionId }: TokenSet): void {
    this.#provider.coordinator.end(sessionId)
    this.#provider.exchanger.forget(sessionId)
  }

  /** Keeps a successor. Where that fails the request has its token all the same: the coordinator carries the successor on. */
  async #keep (tokens: TokenSet): Promise<void> {
    const known = await this.#read
    if (known && known.generation >= tokens.generation) return
    this.#read = Promise.resolve(tokens)
    this.#change = 'written'
    await this.#store.tryWrite(tokens)
    // A logout has crossed the write, and it wins.
    if (this.#provider.coordinator.hasEnded(tokens.sessionId)) await this.#store.undo(tokens.sessionId)
  }

  async #wipe ({ sessionId }: TokenSet): Promise<void> {
    this.#change = 'wiped'
    await this.#store.tryClear(sessionId)
  }
}

function throwCoded (error: unknown): never {
  throw error instanceof RefreshFailure ? errorOf(error) : error
}
