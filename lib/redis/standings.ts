import type { SharedCoordinatorSettings, Spendable, Standing } from '../tokens/shared-coordinator.ts'
import type { RedisLink, Reply } from './link.ts'
import { claim as claimScript } from './scripts.ts'
import type { SuccessorSeal } from './successor-seal.ts'

/** How many generations before the one that a client holds are soon forgotten: one request makes few of them. */
const FORGOTTEN = 4

/** A session that has no time left is remembered for so many milliseconds: clocks differ. */
const SHORTEST_MEMORY_MS = 60_000

/** What Redis says to a claim. */
export type Answer =
  | Exclude<Standing, { readonly status: 'busy' }>
  | { readonly status: 'busy', /** Until the next one may. */ readonly milliseconds: number }
  | { readonly status: 'yours', readonly mayBeSent: boolean }

/** Asks Redis how things stand with what is to be spent, and claims it. */
export class Standings {
  readonly #settings: SharedCoordinatorSettings
  readonly #seal: SuccessorSeal
  readonly #link: RedisLink
  readonly #channel: string

  /** @param channel - where this process hears that somebody is done. */
  constructor (settings: SharedCoordinatorSettings, seal: SuccessorSeal, link: RedisLink, channel: string) {
    this.#settings = settings
    this.#seal = seal
    this.#link = link
    this.#channel = channel
  }

  /**
   * @param claim - `''` to look only.
   * @param late - called where it was claimed all the same, after this has answered `alone`.
   */
  async ask (spendable: Spendable, claim: string, late: (mayBeSent: boolean) => void = () => {}): Promise<Answer> {
    const { id, generation, secret, arrived, endsAt } = spendable
    const forgotten = Array.from({ length: Math.min(FORGOTTEN, arrived) }, (_, index) => this.keyOf(id, arrived - 1 - index))
    const keys = [this.keyOf(id), this.keyOf(id, generation), ...forgotten]
    const values = [generation, this.#seal.fingerprintOf(secret), claim, Math.ceil(this.#settings.gracePeriod * 1000), this.lifetimeOf(endsAt), this.#channel]
    let reply: Reply
    try {
      reply = await this.#link.run(claimScript, keys, values, ([status, detail]) => { if (String(status) === 'yours') late(detail === 1) })
    } catch {
      return { status: 'alone' }
    }
    return await this.#answerOf(reply, secret, generation)
  }

  /** Of a session, or of what has come of one of its generations: all in one slot of a Cluster. */
  keyOf (id: string, generation?: number): string {
    const state = `tokens:{${this.#seal.nameOf(id)}}`
    return generation === undefined ? state : `${state}:${generation}`
  }

  /** In milliseconds. */
  lifetimeOf (endsAt: number): number {
    return Math.max(SHORTEST_MEMORY_MS, Math.ceil((endsAt - this.#settings.clock()) * 1000))
  }

  async #answerOf ([status, detail, newest]: Reply, secret: string, generation: number): Promise<Answer> {
    switch (String(status)) {
      case 'succeeded': {
        const content = Buffer.isBuffer(detail) ? await this.#seal.open(secret, detail) : undefined
        return content === undefined ? { status: 'spent' } : { status: 'succeeded', content, isNewest: newest === generation + 1 }
      }
      case 'busy': return { status: 'busy', milliseconds: Number(detail) }
      case 'yours': return { status: 'yours', mayBeSent: detail === 1 }
      case 'spent': return { status: 'spent' }
      case 'dead': return { status: 'dead' }
      case 'ended': return { status: 'ended' }
      default: return { status: 'newest' }
    }
  }
}
