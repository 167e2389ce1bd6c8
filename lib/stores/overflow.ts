import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { hasCode } from '../errors.ts'
import { isExpired } from '../tokens/lifetime.ts'
import type { AccessToken, TokenSet } from '../tokens/token-set.ts'

/** Bound of what is remembered: some ten thousand access tokens. */
const MEMORY_BYTES = 16 * 1_048_576

/** Of what no expiry is known. */
const MEMORY_SECONDS = 3600

type Write = (tokens: TokenSet) => Promise<void>

/**
 * Where a store has a limit, what a refresh has brought is kept all the same: the newest refresh token in any case, since
 * the one before it is spent. What finds no room goes, and this process remembers the access tokens among it.
 */
export class Overflow {
  readonly #clock: () => number
  readonly #log: FastifyBaseLogger
  /** The access tokens of sessions that have outgrown their store. */
  readonly #known: LRUCache<string, readonly AccessToken[]>
  /** What of a token set may fit, so that everybody who waited for one refresh writes the same. */
  readonly #candidates = new WeakMap<TokenSet, TokenSet[]>()
  #hasWarned = false

  constructor (clock: () => number, log: FastifyBaseLogger) {
    this.#clock = clock
    this.#log = log
    this.#known = new LRUCache({
      perf: { now: () => clock() * 1000 },
      ttlResolution: 0,
      maxSize: MEMORY_BYTES,
      sizeCalculation: (tokens, sessionId) => tokens.reduce((sum, { accessToken }) => sum + accessToken.length + 500, sessionId.length)
    })
  }

  /**
   * Writes as much of a token set as the store takes: it says that something is too large by FST_TOKEN_SESSION_TOO_LARGE.
   * The id_token goes first, then the access tokens that have expired, then those that were issued longest ago, and the one
   * that was just issued last.
   *
   * @throws what the store throws otherwise, and where not even the rest fits.
   */
  async write (tokens: TokenSet, write: Write): Promise<void> {
    let problem: unknown
    const candidates = [...this.#candidates.get(tokens) ?? [tokens]]
    for (const kept of candidates) {
      try {
        await write(kept)
        if (kept !== tokens) this.#remember(tokens, candidates.slice(candidates.indexOf(kept)), problem)
        return
      } catch (error) {
        if (!hasCode(error, 'FST_TOKEN_SESSION_TOO_LARGE')) throw error
        problem ??= error
        if (kept === tokens) candidates.push(...this.#smallerOf(tokens))
      }
    }
    throw problem
  }

  /** A token set with what of it found no room, as far as this process knows. */
  restore (tokens: TokenSet): TokenSet {
    const known = this.#known.get(tokens.sessionId)
    if (known === undefined) return tokens
    // What is in there by now may find no room when another process writes the session.
    const all = this.#learn(tokens, known)
    const [login, ...others] = tokens.accessTokens
    const missing = all.filter((token) => !tokens.accessTokens.some((each) => isFor(each, token)))
    const own = login?.accessToken === '' ? all.find((token) => isFor(token, login)) : undefined
    if (login === undefined || (own === undefined && missing.length === 0)) return tokens
    return { ...tokens, accessTokens: [own ?? login, ...others, ...missing] }
  }

  #smallerOf (tokens: TokenSet): TokenSet[] {
    const smaller = this.#candidates.get(tokens) ?? smallerAndSmaller(tokens, this.#clock())
    this.#candidates.set(tokens, smaller)
    return smaller
  }

  #remember (tokens: TokenSet, fitting: TokenSet[], problem: unknown): void {
    this.#candidates.set(tokens, fitting)
    this.#learn(tokens, this.#known.get(tokens.sessionId) ?? [])
    if (this.#hasWarned) return
    this.#hasWarned = true
    this.#log.warn(`A session has outgrown its store: what can be had again is left out of it, and kept by this process alone. ${problem instanceof Error ? problem.message : ''} Said once`)
  }

  /** Of each kind the youngest that is still good. */
  #learn ({ sessionId, accessTokens }: TokenSet, known: readonly AccessToken[]): readonly AccessToken[] {
    const now = this.#clock()
    const all: AccessToken[] = []
    for (const token of [...accessTokens, ...known].sort((a, b) => b.issuedAt - a.issuedAt)) {
      if (!isExpired(token, now) && !all.some((each) => isFor(each, token))) all.push(token)
    }
    if (all.length !== known.length || all.some((token) => !known.some(({ accessToken }) => accessToken === token.accessToken))) {
      const lifetime = Math.max(1, ...all.map(({ expiresAt = now + MEMORY_SECONDS }) => expiresAt - now))
      this.#known.set(sessionId, all, { ttl: lifetime * 1000 })
    }
    return all
  }
}

/** Less and less of a token set. The login's own token leaves its place behind, since that says what it is for. */
function smallerAndSmaller (tokens: TokenSet, now: number): TokenSet[] {
  const { idToken, ...rest } = tokens
  const [login] = tokens.accessTokens
  const candidates: TokenSet[] = idToken === undefined ? [] : [rest]
  let kept: TokenSet = rest
  const isNewest = ({ generation }: AccessToken) => Number(generation === tokens.generation)
  const droppable = tokens.accessTokens.filter(({ accessToken }) => accessToken !== '')
  for (const token of droppable.sort((a, b) => isNewest(a) - isNewest(b) || Number(isExpired(b, now)) - Number(isExpired(a, now)) || a.issuedAt - b.issuedAt)) {
    const empty = token === login ? [{ ...token, accessToken: '' }] : []
    kept = { ...kept, accessTokens: kept.accessTokens.flatMap((each) => each === token ? empty : [each]) }
    candidates.push(kept)
  }
  return candidates
}

function isFor (token: AccessToken, other: AccessToken): boolean {
  return token.resource === other.resource && token.requestedScope === other.requestedScope
}
