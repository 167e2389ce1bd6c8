import type { Dispatcher } from 'undici'
import { type AccessToken, findAccessToken, type TokenSet } from '../tokens/token-set.ts'
import { isExpired, needsRefresh } from '../tokens/lifetime.ts'
import type { TokenWish } from '../tokens/token-wish.ts'
import type { RefreshableTokenSet, RefreshCoordinator } from './coordinator.ts'
import { classifyFailure, RefreshFailure } from './failure.ts'
import type { Spender } from './spender.ts'

/** What is wanted, and by what means. */
export interface RefreshWish extends TokenWish {
  /** `true`: a new token in any case. A token: a new one if that is still the current one. */
  readonly forceRenewal?: boolean | string | undefined
  readonly dispatcher: Dispatcher
  /** `false` where a new session could not be stored any more. */
  readonly maySpend: boolean
}

/** The newest token set there is (to be stored, if it is not the one that was given), and the token in it or why there is none. */
export type Outcome =
  | { readonly tokens: TokenSet, readonly token: AccessToken }
  | { readonly tokens: TokenSet, readonly failure: RefreshFailure, /** The session is to be wiped. */ readonly isOver: boolean }

/** Valid? Return it. Else spend the refresh token, once, and look again. */
export class Refresher {
  readonly #coordinator: RefreshCoordinator
  readonly #spender: Spender
  readonly #refreshBeforeExpiration: number
  readonly #clock: () => number

  constructor (coordinator: RefreshCoordinator, spender: Spender, refreshBeforeExpiration: number, clock: () => number) {
    this.#coordinator = coordinator
    this.#spender = spender
    this.#refreshBeforeExpiration = refreshBeforeExpiration
    this.#clock = clock
  }

  /**
   * The current token for a wish. Wishes for several resources follow the chain of successors to its end, and spend one
   * refresh token after the other: never two spends of one token, and never the answer meant for another resource.
   */
  async obtain (stored: TokenSet, wish: RefreshWish): Promise<Outcome> {
    let tokens = this.#coordinator.successorOf(stored) ?? stored
    const rejected = wish.forceRenewal === true ? findAccessToken(tokens, wish)?.accessToken : wish.forceRenewal
    for (;;) {
      // The logout has cleared what there was to clear; by now the browser may hold a new login, which is left alone.
      if (this.#coordinator.hasEnded(tokens.sessionId)) return { tokens: stored, failure: new RefreshFailure('loggedOut'), isOver: false }
      const current = findAccessToken(tokens, wish)
      if (current !== undefined && !this.#isStale(current, rejected)) return { tokens, token: current }

      const next = await this.#next(tokens, wish)
      if (next instanceof RefreshFailure) {
        const serves = current !== undefined && current.accessToken !== rejected && !next.endsSession && !isExpired(current, this.#clock())
        return serves ? { tokens, token: current } : { tokens, failure: next, isOver: this.#spender.isOver(tokens) }
      }
      tokens = next
      const renewed = findAccessToken(tokens, wish)
      if (renewed !== undefined && renewed.generation > (current?.generation ?? -1)) return { tokens, token: renewed }
    }
  }

  /** Whether a token set has what is wished for, so that nothing is spent for it. */
  isCurrent (tokens: TokenSet, wish: TokenWish, forceRenewal: boolean | string): boolean {
    const token = findAccessToken(tokens, wish)
    return token !== undefined && forceRenewal !== true && !this.#isStale(token, forceRenewal)
  }

  #isStale (token: AccessToken, rejected: string | boolean | undefined): boolean {
    return token.accessToken === rejected || needsRefresh(token, this.#clock(), this.#refreshBeforeExpiration)
  }

  async #next (tokens: TokenSet, wish: RefreshWish): Promise<TokenSet | RefreshFailure> {
    if (!isRefreshable(tokens)) return new RefreshFailure('noRefreshToken')
    if (this.#coordinator.isSpent(tokens)) return new RefreshFailure('ended', { cause: new Error('its refresh token was spent already') })
    if (!wish.maySpend) return new RefreshFailure('headersSent')
    try {
      return await this.#spender.successor(tokens, wish, wish.dispatcher)
    } catch (error) {
      return classifyFailure(error)
    }
  }
}

function isRefreshable (tokens: TokenSet): tokens is RefreshableTokenSet {
  return tokens.refreshToken !== undefined
}
