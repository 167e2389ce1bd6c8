import type { Command } from './commands.ts'
import type { RedisLink, Reply } from './link.ts'
import { recent, tell } from './scripts.ts'

/** Ends of sessions that a process hears of which was not there when they were told. */
const MEMORY = 100_000
const PAGE = 1000

/** Seconds after which it is asked again, beside a claim, whether a message was missed. */
const CATCH_UP_PAUSE = 10

/** Milliseconds that the clocks of two Redis may differ, where one takes the place of the other. */
const CLOCK_TOLERANCE = 60_000

/** What has become of a session: a logout, or another one has its place in the browser. */
export type Ending = 'ended' | 'replaced'

/** The sessions that have ended: a stream, and a message for each. */
export class EndedSessions {
  /** The stream, and the channel of the same name. */
  readonly name: string
  readonly #link: RedisLink
  readonly #listeners: Record<Ending, Array<(id: string) => void>> = { ended: [], replaced: [] }
  #read = { milliseconds: 0, sequence: 0 }
  #caughtUpAt = -Infinity

  constructor (name: string, link: RedisLink) {
    this.name = name
    this.#link = link
  }

  on (ending: Ending, listener: (id: string) => void): void {
    this.#listeners[ending].push(listener)
  }

  /** @param message - as `tell` says it. */
  hear (message: string): void {
    const [ending, id = ''] = message.split(' ')
    for (const listener of this.#listeners[ending === 'replaced' ? ending : 'ended']) listener(id)
  }

  /** What tells all processes of it. */
  telling (ending: Ending, id: string): Command {
    return { script: tell, keys: [this.name], values: [MEMORY, ending, id, this.name] }
  }

  /** Now and then a message may be missed without anybody's knowledge: a connection that is cut off looks alive for long. */
  catchUpIfDue (): void {
    if (performance.now() - this.#caughtUpAt > CATCH_UP_PAUSE * 1000) this.catchUp()
  }

  /** Hears what was told since it was last asked. What fails is made good by the next time. */
  catchUp (): void {
    this.#caughtUpAt = performance.now()
    this.#readAll().catch(() => {})
  }

  /** After a connection was lost: the stream may be another one, of another clock. */
  catchUpAgain (): void {
    this.#read = { milliseconds: Math.max(0, this.#read.milliseconds - CLOCK_TOLERANCE), sequence: 0 }
    this.catchUp()
  }

  async #readAll (): Promise<void> {
    for (;;) {
      const { milliseconds, sequence } = this.#read
      const page = await this.#link.run({ script: recent, keys: [this.name], values: [`${milliseconds}-${sequence}`, PAGE] })
      for (const entry of page) this.#hearEntry(entry)
      if (page.length < PAGE) return
    }
  }

  /** An entry of a stream is its own id, and the names and values in it. */
  #hearEntry (entry: unknown): void {
    const [at, fields]: Reply = Array.isArray(entry) ? entry : []
    const [ending, id]: Reply = Array.isArray(fields) ? fields : []
    const [milliseconds, sequence] = String(at).split('-').map(Number)
    this.#read = { milliseconds: milliseconds ?? 0, sequence: sequence ?? 0 }
    this.hear(`${ending} ${id}`)
  }
}
