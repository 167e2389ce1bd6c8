import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import type { Provider } from '../provider.ts'
import { accessorOf } from '../request/decorate-requests.ts'
import { discard, endReplaced, takeBack } from '../request/session-end.ts'
import { claimsOf } from '../tokens/claims.ts'
import type { TokenSet } from '../tokens/token-set.ts'

export interface SessionStartSettings {
  readonly provider: Provider
  readonly login: NonNullable<CheckedOptions['login']>
}

/** The app has thrown where it was told of a login: nobody is logged in, and what it has thrown is the answer. */
export class RefusedByApp extends Error {
  override name = 'RefusedByApp'
}

/**
 * Starts the session of a login, in this order: the request sees it and its cookie is put, the app is told, and then the
 * session before it ends. Where the app throws, the new one is taken back, and the one before it ends too.
 *
 * @throws RefusedByApp, FST_TOKEN_SESSION_TOO_LARGE, FST_TOKEN_STORE_FAILED
 */
export async function startSession ({ provider, login }: SessionStartSettings, request: FastifyRequest, reply: FastifyReply, tokens: TokenSet): Promise<void> {
  const said = claimsOf(tokens.idToken)
  const claims = said && { ...tokens.claims, ...said }
  const { state } = accessorOf(request).session({ provider: provider.name })
  if (!login.saveTokens) return await asking(() => login.onTokens?.(request, reply, tokens, claims))
  const earlier = await state.start(tokens).catch(async (error: unknown) => {
    await discard(provider, request, state, tokens)
    throw error
  })
  // Before the app takes its time: the provider may end it meanwhile.
  await provider.sharing.logins?.add(tokens)
  try {
    await asking(() => login.onLogin?.(request, reply, tokens, claims))
  } catch (error) {
    await takeBack(provider, request, state)
    await endReplaced(provider, request, earlier, null)
    throw error
  }
  await endReplaced(provider, request, earlier, tokens)
}

async function asking (ask: () => unknown): Promise<void> {
  try {
    await ask()
  } catch (error) {
    throw new RefusedByApp('The app has refused the login', { cause: error })
  }
}
