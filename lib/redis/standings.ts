import type { Spendable, Standing } from '../tokens/shared-coordinator.ts'
import type { Commands } from './commands.ts'
import type { RedisLink, Reply } from './link.ts'
import type { SuccessorSeal } from './successor-seal.ts'
import type { ToldSuccessor } from './wake-ups.ts'

/** What Redis says to a claim. */
export type Answer =
  | Exclude<Standing, { readonly status: 'busy' }>
  | { readonly status: 'busy', /** Until the next one may. */ readonly milliseconds: number }
  | { readonly status: 'yours', readonly mayBeSent: boolean }

/** Asks Redis how things stand with what is to be spent, and claims it. */
export class Standings {
  readonly #commands: Commands
  readonly #seal: SuccessorSeal
  readonly #link: RedisLink
  readonly #channel: string

  /** @param channel - where this process hears that somebody is done. */
  constructor (commands: Commands, seal: SuccessorSeal, link: RedisLink, channel: string) {
    this.#commands = commands
    this.#seal = seal
    this.#link = link
    this.#channel = channel
  }

  /**
   * @param claimer - `''` to look only.
   * @param late - called where it was claimed all the same, after this has answered `alone`.
   */
  async ask (spendable: Spendable, claimer: string, late: (mayBeSent: boolean) => unknown = () => {}): Promise<Answer> {
    const command = this.#commands.claim(spendable, claimer, this.#channel)
    let reply: Reply
    try {
      reply = await this.#link.run(command, ([status, detail]) => { if (String(status) === 'yours') late(detail === 1) })
    } catch {
      return { status: 'alone' }
    }
    return await this.#answerOf(reply, spendable)
  }

  /** What was told to all who wait, if it is what has come of this; `undefined`: it has to be asked for. */
  async told ({ secret, generation }: Spendable, { generation: newest, sealed }: ToldSuccessor): Promise<Standing & { status: 'succeeded' } | undefined> {
    const content = newest === generation + 1 ? await this.#seal.open(secret, sealed) : undefined
    return content && { status: 'succeeded', content, isNewest: true }
  }

  async #answerOf ([status, detail, newest]: Reply, { secret, generation }: Spendable): Promise<Answer> {
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
