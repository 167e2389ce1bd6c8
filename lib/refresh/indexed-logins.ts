import { isMeant, ownerOf, type ProviderLogout, queriesOf } from '../tokens/provider-logout.ts'
import type { IndexedLogin, SharedLogouts } from '../tokens/shared-logouts.ts'
import type { TokenSet } from '../tokens/token-set.ts'

/** The logins whose sessions are in cookies, as far as the processes share them: by these the provider's logouts are found there. */
export class IndexedLogins {
  readonly #logouts: SharedLogouts
  readonly #absoluteDuration: number

  /** @param absoluteDuration - seconds after which a session is over. */
  constructor (logouts: SharedLogouts, absoluteDuration: number) {
    this.#logouts = logouts
    this.#absoluteDuration = absoluteDuration
  }

  async add (tokens: TokenSet): Promise<void> {
    const login = this.#loginOf(tokens)
    if (login.sub !== undefined || login.sid !== undefined) await this.#logouts.index(login)
  }

  async remove (tokens: TokenSet): Promise<void> {
    await this.forget(this.#loginOf(tokens))
  }

  async forget (login: IndexedLogin): Promise<void> {
    await this.#logouts.forget(login)
  }

  /** Those that are meant by a logout. Rejects where the others cannot be asked. */
  async of (logout: ProviderLogout): Promise<IndexedLogin[]> {
    const found = await Promise.all(queriesOf(logout).map(async (query) => await this.#logouts.find(query)))
    return [...new Map(found.flat().filter((login) => isMeant(login, logout)).map((login) => [login.sessionId, login])).values()]
  }

  #loginOf (tokens: TokenSet): IndexedLogin {
    return { sessionId: tokens.sessionId, endsAt: tokens.startedAt + this.#absoluteDuration, ...ownerOf(tokens) }
  }
}
