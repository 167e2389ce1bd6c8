import type { SessionStore } from '@fastify/session'
import { isRecord } from '../../lib/tokens/record.ts'

type Callback = Parameters<SessionStore['get']>[1]

/** A store for @fastify/session as those on Redis or a database are: text, over an asynchronous connection that may be down. */
export class JsonSessionStore implements SessionStore {
  readonly records = new Map<string, string>()
  /** What every call fails with. */
  failure: Error | undefined
  /** How often records were read that hold tokens. */
  tokenReads = 0
  /** What a record holds, where it is sealed. */
  open: (content: unknown) => unknown = (content) => content

  get (id: string, callback: Callback): void {
    this.#later(callback, () => {
      const record = this.records.get(id)
      if (record?.includes('"content"')) this.tokenReads++
      return record === undefined ? null : JSON.parse(record)
    })
  }

  set (id: string, record: object, callback: Callback): void {
    const text = JSON.stringify(record)
    this.#later(callback, () => { this.records.set(id, text) })
  }

  destroy (id: string, callback: Callback): void {
    this.#later(callback, () => { this.records.delete(id) })
  }

  /** All that is stored, as one text. */
  get text (): string {
    return [...this.records.values()].join('\n')
  }

  /** The generations of the tokens that are stored; NaN for what does not open. */
  get generations (): number[] {
    return [...this.records.values()].flatMap((record) => this.generationOf(record) ?? [])
  }

  /** `undefined` where a record holds no tokens. */
  generationOf (record: string): number | undefined {
    const { content } = JSON.parse(record)
    if (content === undefined) return undefined
    const opened = this.open(content)
    return isRecord(opened) && isRecord(opened.tokens) ? Number(opened.tokens.generation) : NaN
  }

  #later (callback: Callback, run: () => Parameters<Callback>[1] | void): void {
    setImmediate(() => {
      if (this.failure !== undefined) callback(this.failure)
      else callback(null, run() ?? null)
    })
  }
}
