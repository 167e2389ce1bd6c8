import type { FastifyInstance, TokenClaims } from 'fastify'
import { InvalidParameters } from '../errors.ts'
import { type Provider, providerNamed } from '../provider.ts'
import { isRecord } from '../tokens/record.ts'
import type { SessionQuery } from '../tokens/session-query.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { endSessions, findSessions, sessionWithoutRequest } from './end-sessions.ts'
import type { SessionTokens } from './session-tokens.ts'
import type { AccessTokenParameters, DpopProofParameters } from './tokens.ts'

/** Of which registration. */
export interface TokenSessionsParameters {
  /** Its `name`; default: the first. */
  readonly provider?: string
}

/** A session without a request: for a job, or a connection that outlives its request. Each call looks it up again. */
export interface TokenSession {
  readonly sessionId: string
  /** When its user has logged in, in seconds since the epoch. */
  readonly startedAt: number
  /**
   * The current access token, refreshed if it is time, as `request.accessToken()` gives it.
   *
   * @throws what that throws; FST_TOKEN_UNAUTHENTICATED once the session has ended.
   */
  accessToken (parameters?: Omit<AccessTokenParameters, 'provider' | 'context'>): Promise<string>
  /** With DPoP, the proof to send along with the access token, as `request.tokens.dpopProof()` makes it. The same errors. */
  dpopProof (parameters: Omit<DpopProofParameters, 'provider' | 'context'>): Promise<string>
  /** Whose session it is, as `request.tokens.claims()` says it; `null` once it has ended. */
  claims (): Promise<TokenClaims | null>
  /** Ends it, as `app.tokenSessions.end()` does. */
  end (): Promise<void>
}

/** The sessions of an app, from where there is no request: `app.tokenSessions`. Needs a store that can find them. */
export interface TokenSessions {
  /**
   * A session by its `sessionId`, as events and `onLogin` tell it; `null` where there is none, or it has ended.
   *
   * @throws FST_TOKEN_STORE_NO_DIRECTORY, FST_TOKEN_STORE_FAILED, FST_TOKEN_UNKNOWN_PROVIDER
   * @example
   * const session = await app.tokenSessions.get(job.sessionId)
   * if (session === null) return // the user has logged out
   * await fetch(url, { headers: { authorization: `Bearer ${await session.accessToken()}` } })
   */
  get (sessionId: string, parameters?: TokenSessionsParameters): Promise<TokenSession | null>
  /** All sessions of a user that live, the newest first. The same errors. */
  list (query: { readonly sub: string }, parameters?: TokenSessionsParameters): Promise<TokenSession[]>
  /**
   * Ends sessions: of a user, of a session at the provider, or one. They are dead at the next request in every process, their refresh
   * tokens are revoked (RFC 7009), and `onSessionEnded` is told, with the reason `ended`.
   *
   * @returns how many there were.
   * @throws the same; where the store fails, one may go on.
   * @example
   * await app.tokenSessions.end({ sub: 'alice' }) // log out everywhere
   */
  end (query: SessionQuery, parameters?: TokenSessionsParameters): Promise<number>
}

/** Gives an instance, and those encapsulated in it, its sessions: of the store that is in force there. */
export function decorateTokenSessions (fastify: FastifyInstance, providers: ReadonlyMap<string, Provider>): void {
  fastify.decorate('tokenSessions', { getter () { return tokenSessionsOf(this, providers) } })
}

function tokenSessionsOf (server: FastifyInstance, providers: ReadonlyMap<string, Provider>): TokenSessions {
  return {
    async get (sessionId, { provider: name } = {}) {
      const [found] = await findSessions(providerNamed(providers, name), server, checked({ sessionId }))
      return found === undefined ? null : tokenSession(server, providerNamed(providers, name), found)
    },
    async list ({ sub }, { provider: name } = {}) {
      const found = await findSessions(providerNamed(providers, name), server, checked({ sub }))
      return found.toSorted((one, other) => other.startedAt - one.startedAt).map((tokens) => tokenSession(server, providerNamed(providers, name), tokens))
    },
    async end (query, { provider: name } = {}) {
      return await endSessions(providerNamed(providers, name), server, checked(query))
    }
  }
}

function tokenSession (server: FastifyInstance, provider: Provider, { sessionId, startedAt }: TokenSet): TokenSession {
  const session = (): SessionTokens => sessionWithoutRequest(provider, server, sessionId)
  return {
    sessionId,
    startedAt,
    async accessToken ({ exchange, ...request } = {}) {
      const token = exchange === undefined ? (await session().current(request)).token : await session().exchanged(exchange, request)
      return token.accessToken
    },
    dpopProof: async ({ htm, htu, accessToken, nonce, ...request }) => await session().dpopProof({ htm, htu, nonce, ...(accessToken !== undefined && { accessToken }) }, request),
    claims: async () => await session().claims(),
    async end () { await endSessions(provider, server, { sessionId }) }
  }
}

/** A query that means nobody by mistake must not mean everybody, or somebody else. */
function checked (query: SessionQuery): SessionQuery {
  const members = isRecord(query) ? Object.entries(query) : []
  const [name, value] = members[0] ?? []
  if (members.length !== 1 || !['sub', 'sid', 'sessionId'].includes(String(name)) || typeof value !== 'string' || value === '') {
    throw new InvalidParameters('sessions are asked for by one of sub, sid and sessionId, which is a text')
  }
  return query
}
