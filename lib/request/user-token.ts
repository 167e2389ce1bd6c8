import type { FastifyRequest } from 'fastify'
import { hasCode } from '../errors.ts'
import type { Api } from '../outbound/api.ts'
import { type ApiToken, clientToken } from '../outbound/api-token.ts'
import { accessorOf } from './decorate-requests.ts'
import type { SessionTokens } from './session-tokens.ts'

/**
 * The token that a request's calls to an API carry; `null`: none. Whether it is the user's goes by whether somebody is logged
 * in. A session whose token cannot be had is an error, and nobody else's turn.
 *
 * @throws what `request.accessToken()` and `app.clientAccessToken()` throw
 */
export async function apiTokenOf (request: FastifyRequest, api: Api): Promise<ApiToken | null> {
  if (api.kind === 'none') return null
  if (api.kind === 'client') return await tokenOfClient(request, api)
  try {
    return await userToken(accessorOf(request).session(api), api)
  } catch (error) {
    if (api.kind === 'user' || !hasCode(error, 'FST_TOKEN_UNAUTHENTICATED')) throw error
    return await tokenOfClient(request, api)
  }
}

async function tokenOfClient ({ server }: FastifyRequest, { client, wish }: Api): Promise<ApiToken | null> {
  return client === undefined ? null : await clientToken(client, wish, server)
}

async function userToken (session: SessionTokens, api: Api, forceRenewal?: string): Promise<ApiToken> {
  const { wish, exchange } = api
  const asked = { ...wish, ...(forceRenewal !== undefined && { forceRenewal }) }
  const { accessToken, tokenType } = exchange === undefined ? session.atHand(asked) ?? (await session.current(asked)).token : await session.exchanged(exchange, asked)
  return {
    accessToken,
    tokenType,
    proof: async (request) => await session.dpopProof({ ...request, accessToken }, wish),
    keepNonce: (origin, nonce) => session.keepNonce(origin, nonce),
    renewed: async () => await userToken(session, api, accessToken)
  }
}
