import type { SessionQuery } from '../tokens/session-query.ts'
import type { IndexedLogin, SharedLogouts } from '../tokens/shared-logouts.ts'
import { type KeySettings, nameOf } from './derived-keys.ts'
import type { RedisLink } from './link.ts'
import type { Published } from './published.ts'
import type { PlainCommand } from './script.ts'
import type { SessionIndex } from './session-index.ts'

/** Milliseconds that a logout token is remembered at most: one that is good for longer ends nothing new by then. */
const LONGEST_MEMORY_MS = 86_400_000

const look: PlainCommand = { name: 'EXISTS' }
const keep: PlainCommand = { name: 'PSETEX' }

/** The logins of one client in Redis, and the logout tokens that were done. */
export class RedisSharedLogouts implements SharedLogouts {
  readonly #settings: KeySettings
  readonly #link: RedisLink
  readonly #published: Published
  readonly #logins: SessionIndex

  constructor (settings: KeySettings, link: RedisLink, published: Published, logins: SessionIndex) {
    this.#settings = settings
    this.#link = link
    this.#published = published
    this.#logins = logins
  }

  async index (login: IndexedLogin): Promise<void> {
    await this.#published.say(`login ${login.sessionId}`, { commands: await this.#logins.adding(login), isForGood: false })
  }

  async find (query: SessionQuery): Promise<readonly IndexedLogin[]> {
    return await this.#logins.find(query)
  }

  async forget (login: IndexedLogin): Promise<void> {
    await this.#published.say(`login ${login.sessionId}`, { commands: this.#logins.removing(login), isForGood: false })
  }

  async hasSeen (jti: string): Promise<boolean> {
    const [exists] = await this.#link.run({ script: look, keys: [this.#keyOf(jti)], values: [] })
    return exists === 1
  }

  async see (jti: string, seconds: number): Promise<void> {
    const lifetime = Math.min(LONGEST_MEMORY_MS, Math.ceil(seconds * 1000))
    await this.#published.say(`logout ${jti}`, { commands: [{ script: keep, keys: [this.#keyOf(jti)], values: [lifetime, 1] }], isForGood: false })
  }

  #keyOf (jti: string): string {
    return `tokens:{${nameOf(this.#settings, 'logout token', jti)}}:logout`
  }
}
