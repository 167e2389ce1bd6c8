import type { FastifyBaseLogger } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import { ANY_SIZE, pack, unpack } from '../stores/cookie/pack.ts'
import type { ReplacedSessions } from '../stores/replaced-sessions.ts'
import type { SharedCoordinator, Spendable } from '../tokens/shared-coordinator.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { RefreshableTokenSet, RefreshCoordinator } from './coordinator.ts'
import { RefreshFailure } from './failure.ts'
import { IndexedLogins } from './indexed-logins.ts'

/** Seconds after the beginning of a turn in which its last call begins, tries again and probes included: see `retry.ts`. */
const BEGINNING = 2

/** What is shared, by what: without the option `coordinator` this process is the only one, as far as it knows. */
export type SharingSettings = Pick<CheckedOptions, 'coordinator' | 'issuer' | 'clientId' | 'session' | 'gracePeriod' | 'requestTimeout' | 'clock'> & {
  readonly log: FastifyBaseLogger
  /** What this process knows itself. */
  readonly memory: RefreshCoordinator
  readonly replaced: ReplacedSessions
  /** Whether logins are to be found by whose they are. */
  readonly findsLogins: boolean
}

/** The turn of a process. */
export interface Turn {
  /** The newest generation that has come back from the client. */
  readonly arrived: number
  /** Whether it is better to do without than to spend a refresh token that others may be spending. */
  readonly canWait: boolean
}

/** A turn of this process. */
export interface OwnTurn {
  /** Whether a call may leave in it that was begun at a certain time, in milliseconds of this machine. */
  readonly isOurTurn: (since: number) => boolean
  /** Whether another process may have sent the refresh token, and got no answer: then nothing is risked by sending it. */
  readonly mayBeSent: boolean
}

/** Refresh tokens are spent in turn with the other processes of the app. */
export class Sharing {
  /** What the processes have in common; `undefined` where this is the only one. */
  readonly shared: SharedCoordinator | undefined
  /** Where logins are found by whose they are; `undefined` where nobody looks for them, or none can. */
  readonly logins: IndexedLogins | undefined
  readonly #settings: SharingSettings

  constructor (settings: SharingSettings) {
    this.#settings = settings
    const { session, memory, replaced, coordinator: create } = settings
    this.shared = create?.({ ...settings, ...session })
    if (create !== undefined && typeof this.shared?.claim !== 'function') throw new InvalidOptions('coordinator must be a function that gives a coordinator at once, such as redisRefreshCoordinator({ redis })')
    this.logins = settings.findsLogins && this.shared?.logouts ? new IndexedLogins(this.shared.logouts, session.absoluteDuration) : undefined
    this.shared?.onEnded((sessionId) => { memory.end(sessionId) })
    this.shared?.onReplaced((sessionId) => { replaced.add(sessionId) })
  }

  /**
   * Waits for the others. A turn of this process goes on until `keep` or `giveUp`.
   *
   * @throws RefreshFailure
   */
  async enter (tokens: RefreshableTokenSet, { arrived, canWait }: Turn): Promise<{ readonly successor: TokenSet } | OwnTurn> {
    const { memory, requestTimeout } = this.#settings
    const shared = this.shared
    if (shared === undefined) return { isOurTurn: () => true, mayBeSent: false }
    const spendable = this.#spendable(tokens, arrived)
    for (;;) {
      const claim = await shared.claim(spendable)
      switch (claim.status) {
        case 'succeeded': return { successor: await this.#newest(claim) }
        case 'spent': throw new RefreshFailure('spent')
        case 'dead': throw new RefreshFailure('ended', { cause: new Error('another process was told that the refresh token is dead'), wasAsked: false })
        case 'ended':
          memory.end(tokens.sessionId)
          throw new RefreshFailure('loggedOut')
      }
      // Before it is told: a process that is stopped meanwhile has less of it.
      const begun = performance.now()
      const turn = claim.status === 'alone' ? claim.status : await shared.sending(spendable, requestTimeout + BEGINNING)
      if (turn === 'lost') continue
      if (turn === 'yours' || !canWait) return { isOurTurn: this.#turnFrom(begun), mayBeSent: claim.status === 'yours' && claim.mayBeSent }
      await shared.settle(spendable, { mayBeSent: false })
      throw new RefreshFailure('unavailable', { cause: new Error('the other processes cannot be asked whether they refresh'), wasAsked: false })
    }
  }

  /** @returns `false` where a logout came first: nobody may have what was issued. */
  async keep (tokens: RefreshableTokenSet, successor: TokenSet): Promise<boolean> {
    const { generation, refreshToken: secret } = successor
    const content = Buffer.from(pack(successor), 'base64url')
    return await this.shared?.settle(this.#spendable(tokens), { successor: { generation, secret, content } }) ?? true
  }

  async giveUp (tokens: RefreshableTokenSet, { class: kind, endsSession }: RefreshFailure): Promise<void> {
    const outcome = endsSession ? { dead: true } as const : { mayBeSent: kind === 'ambiguous' || kind === 'badResponse' }
    await this.shared?.settle(this.#spendable(tokens), outcome)
  }

  /**
   * Asked before a session is written that was not refreshed here.
   *
   * @returns what is to be written: the newest there is; `undefined`: nothing, since another process is changing it.
   */
  async newestOf (tokens: TokenSet): Promise<TokenSet | undefined> {
    if (this.shared === undefined || !isRefreshable(tokens)) return tokens
    const standing = await this.shared.look(this.#spendable(tokens))
    if (standing.status === 'succeeded') return await this.#newest(standing)
    return standing.status === 'newest' || standing.status === 'alone' ? tokens : undefined
  }

  /** A logout, here and everywhere. */
  async end (tokens: TokenSet): Promise<void> {
    const { sessionId, startedAt } = tokens
    const { memory, session } = this.#settings
    memory.end(sessionId)
    await Promise.all([this.shared?.end(sessionId, startedAt + session.absoluteDuration), this.logins?.remove(tokens)])
  }

  /** The same person has logged in again. */
  async replace (tokens: TokenSet): Promise<void> {
    this.#settings.replaced.add(tokens.sessionId)
    await Promise.all([this.shared?.replace(tokens.sessionId), this.logins?.remove(tokens)])
  }

  async close (): Promise<void> {
    await this.shared?.close()
  }

  async #newest ({ content, isNewest }: { readonly content: Buffer, readonly isNewest: boolean }): Promise<TokenSet> {
    const tokens = unpack(content.toString('base64url'), ANY_SIZE)?.tokens
    if (tokens === undefined) throw new RefreshFailure('spent')
    if (isNewest || !isRefreshable(tokens)) return tokens
    const next = await this.shared?.look(this.#spendable(tokens, 0))
    return next?.status === 'succeeded' ? await this.#newest(next) : tokens
  }

  #turnFrom (begun: number): (since: number) => boolean {
    const lastBeginning = begun + BEGINNING * 1000
    // The deadline of the call, for a process that was stopped meanwhile.
    const end = lastBeginning + this.#settings.requestTimeout * 1000
    return (since) => since <= lastBeginning && performance.now() <= end
  }

  #spendable ({ sessionId: id, generation, refreshToken: secret, startedAt }: RefreshableTokenSet, arrived = generation): Spendable {
    return { id, generation, secret, arrived, endsAt: startedAt + this.#settings.session.absoluteDuration }
  }
}

function isRefreshable (tokens: TokenSet): tokens is RefreshableTokenSet {
  return tokens.refreshToken !== undefined
}
