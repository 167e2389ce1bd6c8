import { ANY_SIZE, pack, unpack } from '../stores/cookie/pack.ts'
import { SessionTimes, type TimedSession } from '../stores/session-times.ts'
import { isRecord } from '../tokens/record.ts'
import type { TokenStoreSettings } from '../tokens/token-store.ts'
import { decrypt, encrypt } from './aes-gcm.ts'
import type { Command } from './commands.ts'
import { derivedKeys, type KeySettings, nameOf } from './derived-keys.ts'
import type { RedisLink, Reply } from './link.ts'
import { OpenedRecords } from './opened-records.ts'
import { drop, keep, read, replace } from './record-scripts.ts'

/** What was read. */
export interface SessionRecord extends TimedSession {
  /** It is to be sealed again, before its key is removed. */
  readonly isOfOldKey: boolean
}

/** Of the format, so that a later release can tell this one's records from its own. */
const VERSION = 1

/** The end of what a record says of itself, before its tokens. */
const LINE_BREAK = 0x0A

type RecordSettings = Pick<TokenStoreSettings, 'name' | 'issuer' | 'clientId' | 'session' | 'refreshBeforeExpiration' | 'clock'>

/**
 * The sessions of one provider in Redis, by the ids that browsers have. Only their hashes are there, and what seals a record is made of
 * its id: nobody opens one without both that and `session.key`, and none under another id.
 */
export class SessionRecords {
  readonly times: SessionTimes
  readonly #name: string
  readonly #keySettings: KeySettings
  readonly #clock: () => number
  readonly #link: RedisLink
  readonly #opened: OpenedRecords<SessionRecord>

  constructor (settings: RecordSettings, link: RedisLink) {
    const { name, issuer, clientId, session: { keys }, clock } = settings
    this.#name = name
    this.#keySettings = { issuer, clientId, keys }
    this.#clock = clock
    this.#link = link
    this.#opened = new OpenedRecords(clock)
    this.times = new SessionTimes(settings)
  }

  /** `undefined` for what is not there, or does not open. It may be over. */
  async read (id: string): Promise<SessionRecord | undefined> {
    const [value] = await this.#run(read, id)
    if (!Buffer.isBuffer(value)) return undefined
    const known = this.#opened.get(id, value)
    if (known !== undefined) return known
    const opened = await decrypt(this.#keysOf(id), value.subarray(value.indexOf(LINE_BREAK) + 1))
    const session = opened && sessionOf(opened.content)
    if (opened === undefined || session === undefined) return undefined
    const record = { ...session, isOfOldKey: opened.keyIndex > 0 }
    this.#opened.remember(id, value, record)
    return record
  }

  /** A new one. */
  async keep (id: string, session: TimedSession): Promise<void> {
    await this.#run(keep, id, [await this.#valueOf(id, session), 'PX', this.#lifetimeOf(session)])
  }

  /** In place of a record that is not newer; what is not there is not made. */
  async replace (id: string, session: TimedSession, newest = session.tokens.generation - 1): Promise<void> {
    await this.#run(replace, id, [await this.#valueOf(id, session), this.#lifetimeOf(session), newest])
  }

  async drop (id: string): Promise<void> {
    this.#opened.forget(id)
    await this.#run(drop, id)
  }

  async #valueOf (id: string, { usedAt, tokens }: TimedSession): Promise<Buffer> {
    const [key = Buffer.alloc(0)] = this.#keysOf(id)
    const head = Buffer.from(`${JSON.stringify({ version: VERSION, usedAt })}\n`)
    const sealed = await encrypt(key, Buffer.concat([head, Buffer.from(pack(tokens), 'base64url')]))
    return Buffer.concat([Buffer.from(`${tokens.generation}\n`), sealed])
  }

  /** In milliseconds. */
  #lifetimeOf (session: TimedSession): number {
    return Math.max(1, Math.ceil((this.times.endOf(session) - this.#clock()) * 1000))
  }

  #keysOf (id: string): Buffer[] {
    return derivedKeys(this.#keySettings, 'stored session', JSON.stringify([this.#name, id]))
  }

  async #run (script: Command['script'], id: string, values: ReadonlyArray<string | number | Buffer> = []): Promise<Reply> {
    return await this.#link.run({ script, keys: [`tokens:session:${nameOf(this.#keySettings, this.#name, id)}`], values })
  }
}

function sessionOf (content: Buffer): TimedSession | undefined {
  const end = content.indexOf(LINE_BREAK)
  const head: unknown = JSON.parse(content.toString('utf8', 0, end))
  const tokens = unpack(content.toString('base64url', end + 1), ANY_SIZE)?.tokens
  const { version, usedAt } = isRecord(head) ? head : {}
  return version === VERSION && typeof usedAt === 'number' && tokens !== undefined ? { usedAt, tokens } : undefined
}
