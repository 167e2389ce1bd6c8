import { LRUCache } from 'lru-cache'
import type { Command } from './commands.ts'

/** Bound of what is remembered: some ten thousand refreshes. */
const MEMORY_BYTES = 16 * 1_048_576

/**
 * What this process has told Redis, or would have: said again where Redis has come back, since it may be an empty one, or one
 * that had not got all of it. Sealed as it is in Redis.
 */
export class Published {
  readonly #commands = new LRUCache<string, Command>({ maxSize: MEMORY_BYTES, sizeCalculation: sizeOf })

  remember (name: string, command: Command): void {
    this.#commands.set(name, command)
  }

  /** The newest first. */
  all (): Command[] {
    return [...this.#commands.values()]
  }
}

function sizeOf ({ keys, values }: Command): number {
  return 300 + [...keys, ...values].reduce<number>((bytes, each) => bytes + Buffer.byteLength(String(each)), 0)
}
