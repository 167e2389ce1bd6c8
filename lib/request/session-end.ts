import type { FastifyRequest } from 'fastify'
import type { Provider } from '../provider.ts'
import { tell } from '../tokens/events.ts'
import { revocableTokens } from '../tokens/revocation.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { SessionState } from './session-state.ts'

/** Revokes the newest tokens of a session, as well as that goes: a provider that does not is no reason to keep it. */
export async function revokeTokens ({ coordinator, tokenService, backchannelFor, clock }: Provider, { server, log }: FastifyRequest, tokens: TokenSet): Promise<void> {
  try {
    const newest = coordinator.successorOf(tokens) ?? tokens
    await tokenService.revoke(revocableTokens(newest, clock()), backchannelFor(server))
  } catch (error) {
    log.warn({ err: error }, 'The session is ended here, but its tokens could not be revoked at the provider')
  }
}

/** Revokes the session of a request. @returns what it was, for its end to be told; `null` where there is none, or it has ended before. */
export async function revokeLive (provider: Provider, request: FastifyRequest, state: SessionState): Promise<TokenSet | null> {
  const tokens = await state.live()
  if (tokens !== null) await discard(provider, request, state, tokens)
  return tokens
}

/** Takes back what this request has started: nobody was told of it. */
export async function takeBack (provider: Provider, request: FastifyRequest, state: SessionState): Promise<void> {
  await revokeLive(provider, request, state)
  await state.end(null)
}

/** Revokes what could not be started, or is to end. */
export async function discard (provider: Provider, request: FastifyRequest, state: SessionState, tokens: TokenSet): Promise<void> {
  state.forget(tokens)
  await revokeTokens(provider, request, tokens)
}

/**
 * Ends a session whose place another one has taken in the browser. The same person's is served for a while, for other tabs,
 * and is not revoked: many providers revoke the whole grant, which the new session lives by, too.
 *
 * @param by - `null`: nothing came of the other one.
 */
export async function endReplaced (provider: Provider, request: FastifyRequest, earlier: TokenSet | null, by: TokenSet | null): Promise<void> {
  if (earlier === null) return
  const { name, coordinator, exchanger, replaced, onSessionEnded } = provider
  const { sessionId } = earlier
  const isSame = by === null ? false : isSamePerson(earlier, by)
  if (isSame) {
    replaced.add(sessionId)
  } else {
    coordinator.end(sessionId)
    exchanger.forget(sessionId)
  }
  tell(request.log, 'onSessionEnded', onSessionEnded, { provider: name, sessionId, reason: 'replaced' })
  if (isSame === false) await revokeTokens(provider, request, earlier)
}

/** `undefined` where nobody can tell. */
function isSamePerson ({ identity: one }: TokenSet, { identity: other }: TokenSet): boolean | undefined {
  if (one?.sub === undefined || other?.sub === undefined) return undefined
  return one.iss === other.iss && one.sub === other.sub
}
