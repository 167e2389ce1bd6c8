import type { FastifyRequest } from 'fastify'
import type { Provider } from '../provider.ts'
import { tell } from '../tokens/events.ts'
import { revocableTokens } from '../tokens/revocation.ts'
import type { TokenSet } from '../tokens/token-set.ts'

/** Revokes the newest tokens of a session, as well as that goes: a provider that does not is no reason to keep it. */
export async function revokeTokens ({ coordinator, tokenService, backchannelFor, clock }: Provider, { server, log }: FastifyRequest, tokens: TokenSet): Promise<void> {
  try {
    const newest = coordinator.successorOf(tokens) ?? tokens
    await tokenService.revoke(revocableTokens(newest, clock()), backchannelFor(server))
  } catch (error) {
    log.warn({ err: error }, 'The session is ended here, but its tokens could not be revoked at the provider')
  }
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
