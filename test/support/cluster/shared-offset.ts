import { openSync, readSync, writeSync } from 'node:fs'

/**
 * How many seconds the clock of a process is moved by, in a file that the test writes and the process reads: what was set
 * holds for the very next request, where a message to the process may come after it.
 */
export class SharedOffset {
  readonly #file: number
  readonly #seconds = new Float64Array(1)

  private constructor (path: string, flags: 'w' | 'r') {
    this.#file = openSync(path, flags)
  }

  static create (path: string): SharedOffset {
    const offset = new SharedOffset(path, 'w')
    offset.set(0)
    return offset
  }

  static open (path: string): SharedOffset {
    return new SharedOffset(path, 'r')
  }

  set (seconds: number): void {
    this.#seconds[0] = seconds
    writeSync(this.#file, this.#seconds, 0, 8, 0)
  }

  get (): number {
    readSync(this.#file, this.#seconds, 0, 8, 0)
    return this.#seconds[0] ?? 0
  }
}
