import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TokenSet } from '../tokens/token-set.ts'

/** For whom a store works: the request that asks, and the provider whose tokens are meant. */
export interface StoreContext {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** The `name` of the provider. */
  readonly provider: string
  /** What the caller of `request.accessToken({ context })` has passed, as it was. */
  readonly context?: unknown
}

/**
 * Where the tokens of a session are kept. Replace it with `app.decorate('tokenStore', store)`, before registering or in an
 * encapsulated context.
 *
 * Whatever a store throws reaches the caller as `FST_TOKEN_STORE_FAILED` with its `cause`: a failed read is never a logout.
 * Where several writes of one session race, the highest `generation` must win.
 */
export interface TokenStore {
  /** The tokens of the request's session; `null` where there is none, or it has ended. */
  get (context: StoreContext): Promise<TokenSet | null> | TokenSet | null
  /** Keeps a new login, or the successor of a refresh. */
  set (context: StoreContext, tokens: TokenSet): Promise<void> | void
  /** Ends the session. */
  clear (context: StoreContext): Promise<void> | void
  /**
   * Called as a response is about to be sent that used the session and did not change it: a store with an inactivity
   * limit pushes that back. Optional.
   */
  touch? (context: StoreContext): Promise<void> | void
  /**
   * Seconds since the epoch from which on the session wants to be read at every request (its token is to be refreshed, or
   * its inactivity limit pushed back), as far as can be told without reading it; until then the default hook leaves it
   * alone. `undefined`: it has to be read. Optional.
   */
  dueAt? (context: StoreContext): number | undefined
  /**
   * Takes back what `set` has written for this request, and nothing else: the session was ended meanwhile, and the browser
   * may hold another one by now. Without it, such a session is cleared if `get` still gives it. Optional.
   */
  retract? (context: StoreContext): Promise<void> | void
  /**
   * Whether the app has ended, on this request, the session of its own that the tokens live in: they end with it, in the
   * same response. Optional; no I/O.
   */
  endedByApp? (context: StoreContext): boolean
  /**
   * The tokens that `get` has found on this request, and has not given because the time of their session is over: it is told that
   * it has ended. Optional; no I/O.
   */
  expired? (context: StoreContext): TokenSet | undefined
  /** `true` where `set` writes to the response, so that nothing may be refreshed once its headers are sent. */
  readonly writesResponse?: boolean
  /** `true` where a request has one session, whatever the `context` of its calls. */
  readonly ignoresContext?: boolean
}

/** The stores of several providers as one. */
export function storeByProvider (stores: ReadonlyMap<string, TokenStore>): TokenStore {
  return {
    get: (context) => stores.get(context.provider)?.get(context) ?? null,
    set: (context, tokens) => stores.get(context.provider)?.set(context, tokens),
    clear: (context) => stores.get(context.provider)?.clear(context),
    touch: (context) => stores.get(context.provider)?.touch?.(context),
    dueAt: (context) => stores.get(context.provider)?.dueAt?.(context),
    retract: (context) => stores.get(context.provider)?.retract?.(context),
    expired: (context) => stores.get(context.provider)?.expired?.(context),
    endedByApp: (context) => stores.get(context.provider)?.endedByApp?.(context) ?? false,
    get writesResponse () { return [...stores.values()].some(({ writesResponse }) => writesResponse) }
  }
}
