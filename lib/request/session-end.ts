import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Provider } from '../provider.ts'
import { tellSessionEnded } from '../tokens/events.ts'
import { revocableTokens } from '../tokens/revocation.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { SessionState } from './session-state.ts'

/** How many sessions are revoked at one time. */
const REVOKED_AT_ONCE = 4

/** Who ends a session: a request, or somebody who has none. */
export interface Caller {
  readonly server: FastifyInstance
  readonly log: FastifyBaseLogger
}

/** What of a session is to be revoked, whichever process has refreshed it last: asked before the others are told of its end. */
async function newestOf ({ coordinator, sharing }: Provider, tokens: TokenSet): Promise<TokenSet> {
  const known = coordinator.successorOf(tokens) ?? tokens
  // What another release has packed, say, is no reason to end nothing.
  return await sharing.newestOf(known).catch(() => undefined) ?? known
}

/** Revokes tokens, as well as that goes: a provider that does not is no reason to keep them. */
export async function revokeTokens ({ tokenService, backchannelFor, clock }: Provider, { server, log }: Caller, tokens: TokenSet): Promise<void> {
  try {
    await tokenService.revoke(revocableTokens(tokens, clock()), backchannelFor(server))
  } catch (error) {
    log.warn({ err: error }, 'The session is ended here, but its tokens could not be revoked at the provider')
  }
}

/** Revokes the tokens of many sessions, a few at a time: each has a deadline, and the refreshes of others need connections meanwhile. */
export async function revokeAll (provider: Provider, caller: Caller, sessions: readonly TokenSet[]): Promise<void> {
  const waiting = [...sessions]
  await Promise.all(Array.from({ length: REVOKED_AT_ONCE }, async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await revokeTokens(provider, caller, next)
  }))
}

/** Revokes a session. @returns what it was, for its end to be told; `null` where there is none, or it has ended before. */
export async function revokeLive (provider: Provider, caller: Caller, state: SessionState): Promise<TokenSet | null> {
  const tokens = await state.live()
  if (tokens !== null) await discard(provider, caller, state, tokens)
  return tokens
}

/** Takes back what this request has started: nobody was told of it. */
export async function takeBack (provider: Provider, caller: Caller, state: SessionState): Promise<void> {
  await revokeLive(provider, caller, state)
  await state.end(null)
}

/** Revokes what could not be started, or is to end. */
export async function discard (provider: Provider, caller: Caller, state: SessionState, tokens: TokenSet): Promise<void> {
  await revokeTokens(provider, caller, await giveUp(provider, state, tokens))
}

/** No process goes on with a session; it may still be in its store. @returns what of it is to be revoked. */
export async function giveUp (provider: Provider, state: SessionState, tokens: TokenSet): Promise<TokenSet> {
  // At once: nothing that a refresh brings meanwhile is kept.
  provider.coordinator.end(tokens.sessionId)
  const newest = await newestOf(provider, tokens)
  await state.forget(tokens)
  return newest
}

/**
 * Ends a session whose place another one has taken in the browser. The same person's is served for a while, for other tabs,
 * and is not revoked: many providers revoke the whole grant, which the new session lives by, too.
 *
 * @param by - `null`: nothing came of the other one.
 */
export async function endReplaced (provider: Provider, caller: Caller, earlier: TokenSet | null, by: TokenSet | null): Promise<void> {
  if (earlier === null) return
  const { name, coordinator, sharing, exchanger, onSessionEnded } = provider
  const { sessionId } = earlier
  tellSessionEnded(caller.log, onSessionEnded, { provider: name, sessionId, reason: 'replaced' })
  const isSame = by === null ? false : isSamePerson(earlier, by)
  if (isSame) return await sharing.replace(earlier)
  coordinator.end(sessionId)
  exchanger.forget(sessionId)
  const newest = await newestOf(provider, earlier)
  await sharing.end(earlier)
  if (isSame === false) await revokeTokens(provider, caller, newest)
}

/** `undefined` where nobody can tell. */
function isSamePerson ({ identity: one }: TokenSet, { identity: other }: TokenSet): boolean | undefined {
  if (one?.sub === undefined || other?.sub === undefined) return undefined
  return one.iss === other.iss && one.sub === other.sub
}
