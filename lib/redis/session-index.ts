import { createHmac } from 'node:crypto'
import { isRecord } from '../tokens/record.ts'
import type { SessionQuery } from '../tokens/session-query.ts'
import type { IndexedLogin } from '../tokens/shared-logouts.ts'
import { decrypt, encrypt } from './aes-gcm.ts'
import type { Command } from './commands.ts'
import { derivedKeys, type KeySettings, short } from './derived-keys.ts'
import { add, find, remove } from './index-scripts.ts'
import type { RedisLink } from './link.ts'

export interface SessionIndexSettings extends KeySettings {
  readonly clock: () => number
}

/** A session, as it is found by whose it is. */
export interface IndexedSession extends IndexedLogin {
  /** What its store needs to find it. */
  readonly content?: Buffer
}

/** How many sessions are kept under one name: what is more goes, that which ends first. */
const MOST = 1000

/** What is kept under a name lies there for so many milliseconds at least: clocks differ. */
const SHORTEST_MEMORY_MS = 60_000

/**
 * The sessions of one client in Redis, by what they are asked for with. Nothing of a user is in clear there, nor as a hash that
 * could be tried: names are HMACs, and entries are sealed, each under its own name.
 *
 * Each name is one command, and all of a call are sent together: one round trip. What Redis does not answer in time is thrown.
 */
export class SessionIndex {
  readonly #link: RedisLink
  readonly #clock: () => number
  readonly #nameKeys: readonly Buffer[]
  readonly #entryKeys: readonly Buffer[]

  constructor (settings: SessionIndexSettings, link: RedisLink) {
    this.#link = link
    this.#clock = settings.clock
    this.#nameKeys = derivedKeys(settings, 'index name')
    this.#entryKeys = derivedKeys(settings, 'index entry')
  }

  /** Keeps a session under its id, `sub` and `sid`, until it ends; what was kept of it before is replaced. */
  async add (session: IndexedSession): Promise<void> {
    await this.#runAll(await this.adding(session))
  }

  /** What adds it. */
  async adding (session: IndexedSession): Promise<Command[]> {
    const now = this.#clock()
    const [key = Buffer.alloc(0)] = this.#entryKeys
    const content = Buffer.from(JSON.stringify({ ...session, content: session.content?.toString('base64url') }))
    const [field = ''] = this.#namesOf({ sessionId: session.sessionId })
    const lifetime = Math.max(SHORTEST_MEMORY_MS, Math.ceil((session.endsAt - now) * 1000))
    return await Promise.all(queriesOf(session).map(async (query) => {
      const [name = ''] = this.#namesOf(query)
      return { script: add, keys: keysOf(name), values: [field, await encrypt(key, content, name), session.endsAt, now, MOST, lifetime] }
    }))
  }

  /** Those that are not over; of one session the entry of the newest key. */
  async find (query: SessionQuery): Promise<IndexedSession[]> {
    const names = this.#namesOf(query)
    const replies = await this.#runAll(names.map((name) => ({ script: find, keys: keysOf(name).slice(0, 1), values: [] })))
    const found = new Map<string, IndexedSession>()
    for (const [at, entries] of replies.entries()) {
      const opened = await Promise.all(entries.map(async (entry) => await this.#open(entry, names[at] ?? '')))
      for (const session of opened) {
        if (session !== undefined && session.endsAt > this.#clock() && !found.has(session.sessionId)) found.set(session.sessionId, session)
      }
    }
    return [...found.values()]
  }

  async remove (sessionId: string): Promise<void> {
    const [known = { sessionId }] = await this.find({ sessionId })
    await this.#runAll(this.removing(known))
  }

  /** What removes it, where all that it is found by is known. */
  removing (session: Pick<IndexedSession, 'sessionId' | 'sub' | 'sid'>): Command[] {
    const fields = this.#namesOf({ sessionId: session.sessionId })
    return queriesOf(session).flatMap((query) => this.#namesOf(query)).map((name) => ({ script: remove, keys: keysOf(name), values: fields }))
  }

  /** The name under each key; the first is that under which it is kept from now on. */
  #namesOf (query: SessionQuery): string[] {
    return this.#nameKeys.map((key) => short(createHmac('sha256', key).update(textOf(query)).digest()))
  }

  async #open (entry: unknown, name: string): Promise<IndexedSession | undefined> {
    const opened = Buffer.isBuffer(entry) ? await decrypt(this.#entryKeys, entry, name) : undefined
    return opened && sessionOf(JSON.parse(opened.content.toString()))
  }

  async #runAll (commands: readonly Command[]): Promise<Array<readonly unknown[]>> {
    return await Promise.all(commands.map(async (command) => await this.#link.run(command)))
  }
}

/** In one slot of a Cluster. */
function keysOf (name: string): string[] {
  return [`tokens:{${name}}:index`, `tokens:{${name}}:index:ends`]
}

/** All that a session is found by, each in the one form that is asked for. */
function queriesOf ({ sessionId, sub, sid }: Pick<IndexedSession, 'sessionId' | 'sub' | 'sid'>): SessionQuery[] {
  return [{ sessionId }, ...(sub === undefined ? [] : [{ sub }]), ...(sid === undefined ? [] : [{ sid }])]
}

/** What is said beside it is no part of the name. */
function textOf (query: SessionQuery): string {
  if ('sessionId' in query) return `sessionId ${query.sessionId}`
  return 'sid' in query ? `sid ${query.sid}` : `sub ${query.sub}`
}

function sessionOf (entry: unknown): IndexedSession | undefined {
  const { sessionId, sub, sid, issuedAt, endsAt, content } = isRecord(entry) ? entry : {}
  if (typeof sessionId !== 'string' || typeof endsAt !== 'number') return undefined
  return {
    sessionId,
    endsAt,
    ...(typeof sub === 'string' && { sub }),
    ...(typeof sid === 'string' && { sid }),
    ...(typeof issuedAt === 'number' && { issuedAt }),
    ...(typeof content === 'string' && { content: Buffer.from(content, 'base64url') })
  }
}
