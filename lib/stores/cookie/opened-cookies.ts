import { LRUCache } from 'lru-cache'
import type { TokenSet } from '../../tokens/token-set.ts'
import { nonceOf } from '../seal.ts'

/** Bound of what is remembered: the sessions of some thousand users who come again and again. */
const MAX_BYTES = 32 * 1_048_576

/** What an entry takes beside texts and tokens, about. */
const OTHERS_BYTES = 1500

/** How long a cookie is remembered that does not come back, and how often what is stale is swept, in seconds. */
const MAX_AGE = 600
const SWEEP_INTERVAL = 60

interface Entry<Session> {
  readonly sealed: string
  readonly session: Session
  /** Of its tokens, in bytes. */
  readonly size: number
}

/**
 * Cookies that were opened before, so that a browser which sends the same one again costs nothing. Only what has opened
 * gets in here: nobody can fill it with rubbish.
 */
export class OpenedCookies<Session extends { readonly tokens: TokenSet }> {
  readonly #clock: () => number
  // By the nonce: short to hash, and as hard to guess as the rest.
  readonly #entries: LRUCache<string, Entry<Session>>
  #sweptAt: number

  constructor (clock: () => number) {
    this.#clock = clock
    this.#sweptAt = clock()
    this.#entries = new LRUCache({
      perf: { now: () => clock() * 1000 },
      ttlResolution: 0,
      ttl: MAX_AGE * 1000,
      updateAgeOnGet: true,
      maxSize: MAX_BYTES,
      sizeCalculation: ({ sealed, size }) => sealed.length + size + OTHERS_BYTES
    })
  }

  get (sealed: string): Session | undefined {
    const entry = this.#entries.get(nonceOf(sealed))
    return entry?.sealed === sealed ? entry.session : undefined
  }

  /** @param size - of its tokens, in bytes. */
  remember (sealed: string, session: Session, size: number): void {
    this.#sweep()
    this.#entries.set(nonceOf(sealed), { sealed, session, size })
  }

  /** Everything of a session that has ended. */
  forget (sessionId: string): void {
    for (const [nonce, { session }] of [...this.#entries.entries()]) {
      if (session.tokens.sessionId === sessionId) this.#entries.delete(nonce)
    }
  }

  /** No timer needs to run for it. */
  #sweep (): void {
    if (Math.abs(this.#clock() - this.#sweptAt) < SWEEP_INTERVAL) return
    this.#sweptAt = this.#clock()
    this.#entries.purgeStale()
  }
}
