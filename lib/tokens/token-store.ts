import type { SerializeOptions } from 'cookie'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type { SessionQuery } from './session-query.ts'
import type { TokenSet } from './token-set.ts'

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
   * Seconds since the epoch when the session is over unless it is used again: of what this request has read or written. For
   * `expiresIn` of the session endpoint; without it, that is counted to `session.absoluteDuration`. Optional; no I/O.
   */
  endsAt? (context: StoreContext): number | undefined
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
  /** The sessions that it keeps, for whoever has no request: `app.tokenSessions` needs it. Optional. */
  readonly directory?: SessionDirectory
  /** `true` where `set` writes to the response, so that nothing may be refreshed once its headers are sent. */
  readonly writesResponse?: boolean
  /** `true` where a request has one session, whatever the `context` of its calls. */
  readonly ignoresContext?: boolean
}

/**
 * The sessions of a store that can find them without a request: for jobs, for an admin's list, and to end them from anywhere.
 * A session is called by the `sessionId` of its token set, and belongs to the user of its `identity.sub`, and to the `sid` of its
 * `claims`.
 */
export interface SessionDirectory {
  /** Those that live and are meant; of one provider. */
  find (query: SessionQuery, provider: string): Promise<readonly TokenSet[]>
  /**
   * Keeps the successor of a refresh, as `set` does: the highest `generation` wins, and what is not there or has ended stays so. It is no use of the
   * session by its user: an inactivity limit stays where it is.
   */
  set (tokens: TokenSet, provider: string): Promise<void>
  /** Ends a session: it is not found any more, and a browser that comes with it has none. */
  clear (sessionId: string, provider: string): Promise<void>
}

/** What the plugin knows and a store of its own needs. Times are in seconds. */
export interface TokenStoreSettings {
  /** The `name` of the provider. */
  readonly name: string
  readonly issuer: string
  readonly clientId: string
  readonly session: {
    /** `session.key`: the first seals, all open. */
    readonly keys: readonly Buffer[]
    readonly cookieName: string
    /** Its attributes. */
    readonly cookie: SerializeOptions
    readonly inactivityDuration: number
    readonly absoluteDuration: number
  }
  readonly refreshBeforeExpiration: number
  readonly clock: () => number
  readonly log: FastifyBaseLogger
  /** Whether there is a `coordinator`, so that several processes refresh each session once. */
  readonly isCoordinated: boolean
}

/** A store that the plugin has had made. */
export interface MadeTokenStore extends TokenStore {
  /** Called as the app is closed. */
  close? (): Promise<void> | void
}

/** The option `tokenStore`: called once for each registration. */
export type TokenStoreFactory = (settings: TokenStoreSettings) => MadeTokenStore
