import type { Dispatcher } from 'undici'
import type { CheckedOptions } from '../options/check.ts'
import { isExpired, needsRefresh } from '../tokens/lifetime.ts'
import { type AccessToken, findAccessToken, type TokenSet } from '../tokens/token-set.ts'
import type { TokenWish } from '../tokens/token-wish.ts'
import type { RefreshableTokenSet, RefreshCoordinator } from './coordinator.ts'
import { classifyFailure, RefreshFailure } from './failure.ts'
import { takesLong } from './patience.ts'
import type { Turn } from './sharing.ts'
import type { RefreshEvents } from './refresh-events.ts'
import type { Spender } from './spender.ts'

/** Seconds of a token's life in which it is refreshed even where the other processes cannot be asked. */
const LAST_MOMENT = 10

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
  | { readonly tokens: TokenSet, readonly token: AccessToken, /** The refresh that goes on behind this token. */ readonly coming?: Promise<TokenSet> }
  | { readonly tokens: TokenSet, readonly failure: RefreshFailure, /** The session is to be wiped. */ readonly isOver: boolean }

/** Valid? Return it. Else spend the refresh token, once, and look again. */
export class Refresher {
  readonly #coordinator: RefreshCoordinator
  readonly #spender: Spender
  readonly #events: RefreshEvents
  readonly #refreshBeforeExpiration: number
  readonly #clock: () => number

  constructor (coordinator: RefreshCoordinator, spender: Spender, events: RefreshEvents, { refreshBeforeExpiration, clock }: Pick<CheckedOptions, 'refreshBeforeExpiration' | 'clock'>) {
    this.#coordinator = coordinator
    this.#spender = spender
    this.#events = events
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
    const askedAt = performance.now()
    for (;;) {
      // The logout has cleared what there was to clear; by now the browser may hold a new login, which is left alone.
      if (this.#coordinator.hasEnded(tokens.sessionId)) return { tokens: stored, failure: new RefreshFailure('loggedOut'), isOver: false }
      const current = findAccessToken(tokens, wish)
      if (current !== undefined && !this.#isStale(current, rejected)) return { tokens, token: current }
      const good = current !== undefined && current.accessToken !== rejected && !isExpired(current, this.#clock()) ? current : undefined

      const canWait = good?.expiresAt !== undefined && good.expiresAt - this.#clock() > LAST_MOMENT
      const coming = this.#spend(tokens, wish, { arrived: stored.generation, canWait })
      if (good !== undefined && await takesLong(coming, Math.min(askedAt, this.#spender.startOf(tokens)))) return { tokens, token: good, coming }
      const next = await coming.catch(classifyFailure)
      if (next instanceof RefreshFailure) return this.#without(tokens, next, good)
      tokens = next
      const renewed = findAccessToken(tokens, wish)
      if (renewed !== undefined && renewed.generation > (current?.generation ?? -1)) return { tokens, token: renewed }
    }
  }

  /** The token for a wish, where the stored set is the newest that is known and has a current one: what `obtain` finds without waiting. */
  atHand (stored: TokenSet, wish: TokenWish, forceRenewal: boolean | string | undefined): AccessToken | undefined {
    if (forceRenewal === true || this.#coordinator.successorOf(stored) !== undefined || this.#coordinator.hasEnded(stored.sessionId)) return undefined
    const token = findAccessToken(stored, wish)
    return token === undefined || this.#isStale(token, forceRenewal) ? undefined : token
  }

  /** The newest token set of a session, as far as this process knows; `undefined` where only a new login can go on with it. Nobody is asked. */
  living (stored: TokenSet): TokenSet | undefined {
    const tokens = this.#coordinator.successorOf(stored) ?? stored
    const [login] = tokens.accessTokens
    const isGood = login !== undefined && !isExpired(login, this.#clock())
    const isDead = this.#coordinator.hasEnded(tokens.sessionId) || this.#spender.isDead(tokens, isGood) || (this.#coordinator.isSpent(tokens) && !isGood)
    return isDead ? undefined : tokens
  }

  /** Whether a token set has what is wished for, so that nothing is spent for it. */
  isCurrent (tokens: TokenSet, wish: TokenWish, forceRenewal: boolean | string): boolean {
    const token = findAccessToken(tokens, wish)
    return token !== undefined && forceRenewal !== true && !this.#isStale(token, forceRenewal)
  }

  /**
   * What there is without a refresh. A token that is still good serves on: after `invalid_grant` for the grace period, since
   * another process may have the successor; not where the session is known to be over.
   */
  #without (tokens: TokenSet, failure: RefreshFailure, good: AccessToken | undefined): Outcome {
    if (failure.class === 'spent') this.#events.reused(tokens)
    const isOver = this.#spender.endIfOver(tokens)
    const serves = failure.class === 'ended' ? !isOver : !failure.endsSession && failure.class !== 'spent'
    return good !== undefined && serves ? { tokens, token: good } : { tokens, failure, isOver }
  }

  #isStale (token: AccessToken, rejected: string | boolean | undefined): boolean {
    return token.accessToken === rejected || needsRefresh(token, this.#clock(), this.#refreshBeforeExpiration)
  }

  /** @throws RefreshFailure */
  async #spend (tokens: TokenSet, wish: RefreshWish, turn: Turn): Promise<TokenSet> {
    if (!isRefreshable(tokens)) throw new RefreshFailure('noRefreshToken')
    if (this.#coordinator.isSpent(tokens)) throw new RefreshFailure('spent')
    if (!wish.maySpend) throw new RefreshFailure('headersSent')
    return await this.#spender.successor(tokens, wish, wish.dispatcher, turn)
  }
}

function isRefreshable (tokens: TokenSet): tokens is RefreshableTokenSet {
  return tokens.refreshToken !== undefined
}
