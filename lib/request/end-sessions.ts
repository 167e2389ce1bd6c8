import type { FastifyInstance } from 'fastify'
import { hasCode, NoDirectory, storeFailed } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { DirectoryPlace } from '../stores/session-place.ts'
import type { SessionEndReason } from '../tokens/events.ts'
import type { SessionQuery } from '../tokens/session-query.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { SessionDirectory } from '../tokens/token-store.ts'
import { giveUp, revokeAll } from './session-end.ts'
import { SessionTokens } from './session-tokens.ts'

/** Which of the sessions that are found are to end, and what is told of it. */
export interface SessionsEnd {
  /** Default: all. */
  readonly isMeant?: (tokens: TokenSet) => boolean
  /** Default: `ended`. */
  readonly reason?: SessionEndReason
}

/** @throws FST_TOKEN_STORE_NO_DIRECTORY */
export function directoryOf (provider: Provider, server: FastifyInstance): SessionDirectory {
  const { directory } = provider.storeFor(server)
  if (directory === undefined) throw new NoDirectory()
  return directory
}

/**
 * The sessions that live, and are meant.
 *
 * @throws FST_TOKEN_STORE_NO_DIRECTORY, FST_TOKEN_STORE_FAILED
 */
export async function findSessions (provider: Provider, server: FastifyInstance, query: SessionQuery): Promise<TokenSet[]> {
  const found = await kept(provider, server, query)
  return found.filter(({ sessionId }) => !provider.coordinator.hasEnded(sessionId))
}

/** All that the store has, with what has ended and could not be removed. */
async function kept (provider: Provider, server: FastifyInstance, query: SessionQuery): Promise<readonly TokenSet[]> {
  const directory = directoryOf(provider, server)
  try {
    return await directory.find(query, provider.name)
  } catch (error) {
    throw hasCode(error) ? error : storeFailed('find sessions', error)
  }
}

/** The session of an id, without a request. */
export function sessionWithoutRequest (provider: Provider, server: FastifyInstance, sessionId: string): SessionTokens {
  return new SessionTokens(provider, new DirectoryPlace(server, directoryOf(provider, server), provider.name, sessionId))
}

/**
 * Ends sessions from elsewhere than their browsers: they are dead at the next request, in every process, and then their newest refresh
 * tokens are revoked, as well as that goes.
 *
 * @returns how many there were.
 * @throws FST_TOKEN_STORE_NO_DIRECTORY, FST_TOKEN_STORE_FAILED where one may go on; the others have ended all the same.
 */
export async function endSessions (provider: Provider, server: FastifyInstance, query: SessionQuery, { isMeant = () => true, reason = 'ended' }: SessionsEnd = {}): Promise<number> {
  const found = await kept(provider, server, query)
  const meant = found.filter(isMeant)
  const revocable: TokenSet[] = []
  const outcomes = await Promise.allSettled(meant.map(async ({ sessionId }) => {
    const { state } = sessionWithoutRequest(provider, server, sessionId)
    const tokens = await state.live()
    if (tokens !== null) revocable.push(await giveUp(provider, state, tokens))
    await state.end(tokens, reason)
    return tokens
  }))
  await revokeAll(provider, { server, log: server.log }, revocable)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value !== null).length
}
