import type { FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import { isRecord } from '../../tokens/record.ts'
import type { TokenSet } from '../../tokens/token-set.ts'
import type { Seal } from '../seal.ts'
import { sessionRecords } from './fastify-session.ts'
import { SessionTimes, type SessionTimesSettings } from '../session-times.ts'

export interface TokenRecordsSettings extends SessionTimesSettings {
  /** Of the provider. */
  readonly name: string
  readonly issuer: string
  readonly clientId: string
  readonly seal: Seal | undefined
  readonly clock: () => number
}

/** Of the format, so that a later release can tell this one's records from its own. */
const VERSION = 1

/** What a record says of itself, so that none is taken for another: whoever can write to the store can copy what is in it. */
interface Label {
  readonly version: typeof VERSION
  readonly id: string
  /** The name of the registration. */
  readonly provider: string
  readonly issuer: string
  readonly clientId: string
}

/** What a record holds; sealed, where there is a key. */
interface Content extends Label {
  /** Seconds since the epoch of the last write. */
  readonly usedAt: number
  readonly tokens: TokenSet
}

/** What was read. */
export interface TokenRecord {
  readonly tokens: TokenSet
  /** Its use is to be written down, or it is to be sealed again before its key is removed. */
  readonly isToBeWritten: boolean
  /** When it is over unless it is used, in seconds since the epoch. */
  readonly endsAt: number
}

/** Of how many sessions is remembered when something is due, so that the store is not asked at every request. */
const MAX_HINTS = 20_000

/** The tokens of one provider in the store of @fastify/session, by ids that never leave the server. */
export class TokenRecords {
  readonly #settings: TokenRecordsSettings
  readonly #times: SessionTimes
  readonly #hints = new LRUCache<string, number>({ max: MAX_HINTS })
  readonly #expired = new WeakMap<FastifyRequest, TokenSet>()

  constructor (settings: TokenRecordsSettings) {
    this.#settings = settings
    this.#times = new SessionTimes(settings)
  }

  /** `undefined` for what is not there, is over, or does not open. */
  async read (request: FastifyRequest, id: string): Promise<TokenRecord | undefined> {
    const { seal, clock } = this.#settings
    const record = await sessionRecords.read(request, id)
    if (!isRecord(record)) return undefined
    const { content, isOfOldKey = false } = seal === undefined ? record : seal.open(String(record.content), request.log) ?? {}
    if (!isContent(content, this.#labelOf(id))) return undefined
    const endsAt = this.#times.endOf(content)
    if (clock() >= endsAt) {
      this.#expired.set(request, content.tokens)
      return undefined
    }
    this.#hints.set(id, this.#times.dueAt(content))
    return { tokens: content.tokens, isToBeWritten: isOfOldKey === true || clock() >= this.#times.rollAt(content), endsAt }
  }

  /** What a request has read, and has not got because its time is over. */
  expired (request: FastifyRequest): TokenSet | undefined {
    return this.#expired.get(request)
  }

  async write (request: FastifyRequest, id: string, tokens: TokenSet): Promise<TokenRecord> {
    const { seal, clock } = this.#settings
    const content: Content = { ...this.#labelOf(id), usedAt: Math.floor(clock()), tokens }
    const end = this.#times.endOf(content)
    const maxAge = Math.ceil((end - content.usedAt) * 1000)
    await sessionRecords.write(request, id, {
      cookie: { expires: new Date(end * 1000), maxAge, originalMaxAge: maxAge },
      content: seal === undefined ? content : seal.seal({ ...content })
    })
    this.#hints.set(id, this.#times.dueAt(content))
    return { tokens, isToBeWritten: false, endsAt: end }
  }

  async destroy (request: FastifyRequest, id: string): Promise<void> {
    this.#hints.delete(id)
    await sessionRecords.destroy(request, id)
  }

  /** As far as this process knows. Where another one has written since, it is only looked at sooner. */
  dueAt (id: string): number | undefined {
    return this.#hints.get(id)
  }

  #labelOf (id: string): Label {
    const { name, issuer, clientId } = this.#settings
    return { version: VERSION, id, provider: name, issuer, clientId }
  }
}

function isContent (content: unknown, label: Label): content is Content {
  if (!isRecord(content) || typeof content.usedAt !== 'number' || !isRecord(content.tokens)) return false
  return Object.entries(label).every(([name, value]) => content[name] === value)
}
