import type { SessionQuery } from '../tokens/session-query.ts'
import type { IndexedLogin, SharedLogouts } from '../tokens/shared-logouts.ts'
import type { TokenSet } from '../tokens/token-set.ts'

/** Whom the provider has logged out, and when by its own clock, in seconds since the epoch. */
export interface ProviderLogout {
  readonly sub?: string
  readonly sid?: string
  readonly issuedAt: number
}

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

  #loginOf ({ sessionId, startedAt, identity = {}, claims = {} }: TokenSet): IndexedLogin {
    const { sub } = identity
    const { sid, iat } = claims
    return {
      sessionId,
      endsAt: startedAt + this.#absoluteDuration,
      ...(typeof sub === 'string' && { sub }),
      ...(typeof sid === 'string' && { sid }),
      ...(typeof iat === 'number' && { issuedAt: iat })
    }
  }
}

function queriesOf ({ sub, sid }: ProviderLogout): SessionQuery[] {
  return [...(sid === undefined ? [] : [{ sid }]), ...(sub === undefined ? [] : [{ sub }])]
}

/**
 * Whether a session is one that a logout means (OpenID Connect Back-Channel Logout §2.7). One that does not know its own `sid`
 * is meant like all of its user; who has logged in after the logout is not.
 */
function isMeant ({ sub, sid, issuedAt = -Infinity }: IndexedLogin, logout: ProviderLogout): boolean {
  if (issuedAt > logout.issuedAt || (logout.sub !== undefined && sub !== logout.sub)) return false
  return logout.sid === undefined || sid === logout.sid || (sid === undefined && logout.sub !== undefined)
}
