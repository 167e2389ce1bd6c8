import type { SharedCoordinatorSettings, Spendable, SpendOutcome, Successor } from '../tokens/shared-coordinator.ts'
import type { PlainCommand, Script } from './script.ts'
import { claim, end, release, sending, succeed } from './scripts.ts'
import type { SuccessorSeal } from './successor-seal.ts'

/** What Redis is told or asked. All but a claim may run once more: what is newer in Redis stays. */
export interface Command {
  readonly script: Script | PlainCommand
  readonly keys: readonly string[]
  readonly values: ReadonlyArray<string | number | Buffer>
}

/** Whose turn it is. */
export interface Claimed {
  readonly claimer: string
  /** An earlier one may have sent it. */
  readonly mayBeSent: boolean
}

/** How many generations before the one that a client holds are soon forgotten: one request makes few of them. */
const FORGOTTEN = 4

/** A session that has no time left is remembered for so many milliseconds: clocks differ. */
const SHORTEST_MEMORY_MS = 60_000

/** Says for Redis what is meant. */
export class Commands {
  readonly #settings: SharedCoordinatorSettings
  readonly #seal: SuccessorSeal

  constructor (settings: SharedCoordinatorSettings, seal: SuccessorSeal) {
    this.#settings = settings
    this.#seal = seal
  }

  /**
   * @param claimer - `''` to look only.
   * @param channel - where it is to be said that somebody is done.
   */
  claim ({ id, generation, secret, arrived, endsAt }: Spendable, claimer: string, channel: string): Command {
    const forgotten = Array.from({ length: Math.min(FORGOTTEN, arrived) }, (_, index) => this.#keyOf(id, arrived - 1 - index))
    const grace = Math.ceil(this.#settings.gracePeriod * 1000)
    return {
      script: claim,
      keys: [this.#keyOf(id), this.#keyOf(id, generation), ...forgotten],
      values: [generation, this.#seal.fingerprintOf(secret), claimer, grace, this.#lifetimeOf(endsAt), channel]
    }
  }

  sending ({ id }: Spendable, claimer: string, milliseconds: number): Command {
    return { script: sending, keys: [this.#keyOf(id)], values: [claimer, milliseconds] }
  }

  /** @param claimed - `undefined` where this process was alone. */
  async settle (spendable: Spendable, outcome: SpendOutcome, { claimer, mayBeSent }: Claimed = { claimer: '', mayBeSent: false }): Promise<Command> {
    if ('dead' in outcome) return this.#bury(spendable, claimer)
    if ('mayBeSent' in outcome) return this.release(spendable, claimer, mayBeSent || outcome.mayBeSent)
    return await this.#succeed(spendable, outcome.successor, claimer)
  }

  async #succeed ({ id, generation, secret, endsAt }: Spendable, successor: Successor, claimer: string): Promise<Command> {
    const next = successor.secret === undefined ? '' : this.#seal.fingerprintOf(successor.secret)
    const sealed = Buffer.concat([Buffer.from(`${this.#seal.fingerprintOf(secret)}\n`), await this.#seal.seal(secret, successor.content)])
    const lifetime = Math.ceil((successor.lifetime ?? this.#settings.inactivityDuration) * 1000)
    return {
      script: succeed,
      keys: [this.#keyOf(id), this.#keyOf(id, generation)],
      values: [claimer, successor.generation, next, sealed, lifetime, this.#lifetimeOf(endsAt), this.#seal.nameOf(id)]
    }
  }

  release ({ id, endsAt }: Spendable, claimer: string, mayBeSent: boolean): Command {
    return { script: release, keys: [this.#keyOf(id)], values: [claimer, mayBeSent ? 1 : 0, '', this.#lifetimeOf(endsAt), this.#seal.nameOf(id)] }
  }

  /** Gives it back because it is dead. */
  #bury ({ id, secret, endsAt }: Spendable, claimer: string): Command {
    return { script: release, keys: [this.#keyOf(id)], values: [claimer, 0, this.#seal.fingerprintOf(secret), this.#lifetimeOf(endsAt), this.#seal.nameOf(id)] }
  }

  end (id: string, endsAt: number): Command {
    return { script: end, keys: [this.#keyOf(id)], values: [this.#lifetimeOf(endsAt), this.#seal.nameOf(id)] }
  }

  /** Of a session, or of what has come of one of its generations: all in one slot of a Cluster. */
  #keyOf (id: string, generation?: number): string {
    const state = `tokens:{${this.#seal.nameOf(id)}}`
    return generation === undefined ? state : `${state}:${generation}`
  }

  /** In milliseconds. */
  #lifetimeOf (endsAt: number): number {
    return Math.max(SHORTEST_MEMORY_MS, Math.ceil((endsAt - this.#settings.clock()) * 1000))
  }
}
