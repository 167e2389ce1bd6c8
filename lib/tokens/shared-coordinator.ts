import type { FastifyBaseLogger } from 'fastify'
import type { SharedLogouts } from './shared-logouts.ts'

/**
 * What may be spent once by all processes together: the refresh token of a session (a second use revokes the whole grant,
 * RFC 9700 §4.14.2), or the code of a login (RFC 6749 §4.1.2).
 */
export interface Spendable {
  /** The `sessionId`, or the login's own name. */
  readonly id: string
  /** How often it has been spent before: the `generation` of the token set; 0 for a code. */
  readonly generation: number
  /** The refresh token, or what only the browser of that login has brought: it opens what has come of it, and nothing else does. */
  readonly secret: string
  /** The newest generation that has come back from the client: what led to it is soon forgotten. */
  readonly arrived: number
  /** Seconds since the epoch until which it is known that it was spent: when the session can no longer live. */
  readonly endsAt: number
}

/** What has come of a spend: for a session, its next token set. */
export interface Successor {
  readonly generation: number
  /** Its own refresh token; the same as before where the service does not rotate, none where it cannot be spent. */
  readonly secret?: string | undefined
  readonly content: Buffer
  /** Seconds for which it is kept; default: `inactivityDuration`. */
  readonly lifetime?: number
}

/** What the processes know of something that is to be spent. */
export type Standing =
  /** It was spent, and this has come of it, which may have been spent itself by now. */
  | { readonly status: 'succeeded', readonly content: Buffer, readonly isNewest: boolean }
  /** It was spent, and what came of it is forgotten: to send it again would revoke the grant. */
  | { readonly status: 'spent' }
  /** The token service has said that it is dead. */
  | { readonly status: 'dead' }
  /** The session was ended by a logout. */
  | { readonly status: 'ended' }
  /** Somebody is at it. */
  | { readonly status: 'busy' }
  /** Nothing: it is the newest. */
  | { readonly status: 'newest' }
  /** The others cannot be asked: this process is on its own. */
  | { readonly status: 'alone' }

/** What is left when it is nobody else's turn any more. */
export type Claim =
  | Exclude<Standing, { readonly status: 'busy' | 'newest' }>
  /** It is for this process to spend. `mayBeSent`: somebody before may have sent it, and has told nobody of an answer. */
  | { readonly status: 'yours', readonly mayBeSent: boolean }

/** How a spend has ended. */
export type SpendOutcome =
  | { readonly successor: Successor }
  /** Told to nobody again for an hour. */
  | { readonly dead: true }
  /** The next one may try. `mayBeSent`: there was no answer, or none that says whether it was spent. */
  | { readonly mayBeSent: boolean }

/**
 * What the processes of an app know together, behind the memory of each: asked at each spend, each write of a session that was
 * not refreshed here, and each logout; never for a token that is good. No method rejects: where the others cannot be asked
 * the process goes on alone, after a bounded delay.
 */
export interface SharedCoordinator {
  /** Waits while somebody else is at it, and then says what came of it or whose turn it is: as long as a call can take, or longer. */
  claim (spendable: Spendable): Promise<Claim>
  /**
   * Called once in a turn, before a request leaves: for so many seconds, and two more, nobody else spends it.
   *
   * @returns `yours`: it may leave. `lost`: it is no longer this process's turn (it was stopped for a while), and nothing may be
   * sent. `alone`: nobody could be told.
   */
  sending (spendable: Spendable, seconds: number): Promise<'yours' | 'lost' | 'alone'>
  /**
   * How it went, also where this process was alone: all who wait are told.
   *
   * @returns `false` where the session was ended meanwhile.
   */
  settle (spendable: Spendable, outcome: SpendOutcome): Promise<boolean>
  /** Asks, and claims nothing: before a session is written that was not refreshed here. */
  look (spendable: Spendable): Promise<Standing>
  /** A logout: nobody spends it any more, and every process is told. `endsAt` as in Spendable. */
  end (id: string, endsAt: number): Promise<void>
  /** Told of each session that has ended in another process; also of one that had before this one was started, or while it was cut off. */
  onEnded (listener: (id: string) => void): void
  /** The same person has logged in again in the same browser: every process is told, and writes this session no more once it has heard of it. */
  replace (id: string): Promise<void>
  /** Told of each session that was replaced in another process, likewise. */
  onReplaced (listener: (id: string) => void): void
  /** Back-channel logouts of sessions in cookies need it; nothing else does. Optional. */
  readonly logouts?: SharedLogouts
  close (): Promise<void>
}

/** What the plugin knows and a coordinator needs. Times are in seconds. */
export interface SharedCoordinatorSettings {
  readonly issuer: string
  readonly clientId: string
  /** `session.key`: the first seals, all open. */
  readonly keys: readonly Buffer[]
  readonly clock: () => number
  /** How long a successor is kept that has not come back. */
  readonly inactivityDuration: number
  /** How long one is kept that has. */
  readonly gracePeriod: number
  readonly log: FastifyBaseLogger
}

/** The option `coordinator`: called once for each registration. */
export type SharedCoordinatorFactory = (settings: SharedCoordinatorSettings) => SharedCoordinator
