import { LRUCache } from 'lru-cache'

/** Bound of what is remembered: the sessions of some thousand users who come again and again. */
const MAX_BYTES = 32 * 1_048_576

/** How long a record is remembered that is not asked for, in seconds. */
const MAX_AGE = 600

/** Records that were opened before: what Redis gives once more, byte for byte, is not opened again. */
export class OpenedRecords<Session extends object> {
  readonly #entries: LRUCache<string, { readonly value: Buffer, readonly session: Session }>

  constructor (clock: () => number) {
    this.#entries = new LRUCache({
      perf: { now: () => clock() * 1000 },
      ttlResolution: 0,
      ttl: MAX_AGE * 1000,
      updateAgeOnGet: true,
      maxSize: MAX_BYTES,
      // Packed, it is about a third of what it was.
      sizeCalculation: ({ value }) => 4 * value.length + 1000
    })
  }

  get (id: string, value: Buffer): Session | undefined {
    const entry = this.#entries.get(id)
    return entry?.value.equals(value) ? entry.session : undefined
  }

  /** Only what has opened: nobody can fill it with rubbish. */
  remember (id: string, value: Buffer, session: Session): void {
    this.#entries.set(id, { value, session })
  }

  forget (id: string): void {
    this.#entries.delete(id)
  }
}
