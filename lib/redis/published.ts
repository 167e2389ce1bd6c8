import { LRUCache } from 'lru-cache'
import type { Command } from './commands.ts'
import type { RedisLink } from './link.ts'

/** Bound of what is remembered: some ten thousand refreshes. */
const MEMORY_BYTES = 16 * 1_048_576

/** What was to be said together. */
export interface Publication {
  readonly commands: readonly Command[]
  /** Whether another Redis is to know it, too, and not only one that has missed it. */
  readonly isForGood: boolean
}

/**
 * What this process has told Redis, or would have: said again where Redis has come back, since it may be an empty one, or one
 * that had not got all of it. Sealed as it is in Redis.
 */
export class Published {
  readonly #publications = new LRUCache<string, Publication>({ maxSize: MEMORY_BYTES, sizeCalculation: sizeOf })

  readonly #link: RedisLink

  constructor (link: RedisLink) {
    this.#link = link
  }

  /**
   * What fails is said again where Redis comes back.
   *
   * @returns what Redis says to the first of it.
   */
  async say (name: string, publication: Publication): Promise<string | undefined> {
    this.#publications.set(name, publication)
    try {
      const [reply] = await Promise.all(publication.commands.map((command) => this.#link.run(command)))
      this.#confirmed(name, publication)
      return String(reply?.[0])
    } catch {
      return undefined
    }
  }

  /** The newest first; of what Redis knows, no more is said. */
  async sayAgain (): Promise<void> {
    for (const [name, publication] of [...this.#publications.entries()]) {
      for (const command of publication.commands) {
        const [status] = await this.#link.run(command)
        if (String(status) === 'known') break
      }
      this.#confirmed(name, publication)
    }
  }

  #confirmed (name: string, publication: Publication): void {
    if (!publication.isForGood && this.#publications.peek(name) === publication) this.#publications.delete(name)
  }
}

function sizeOf ({ commands }: Publication): number {
  return commands.flatMap(({ keys, values }) => [...keys, ...values]).reduce<number>((bytes, each) => bytes + Buffer.byteLength(String(each)), 300)
}
