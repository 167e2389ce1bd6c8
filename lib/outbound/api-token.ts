import type { FastifyInstance } from 'fastify'
import type { ClientTokens } from '../cached-tokens/client-tokens.ts'
import type { ProofRequest } from '../token-service/dpop.ts'
import type { AccessToken } from '../tokens/token-set.ts'
import type { TokenWish } from '../tokens/token-wish.ts'

/** The token of a call to an API, and what goes with it. */
export interface ApiToken extends Pick<AccessToken, 'accessToken' | 'tokenType'> {
  /** A proof of possession for one request with this token (RFC 9449 §7.1). */
  proof (request: Omit<ProofRequest, 'accessToken'>): Promise<string>
  /** What the API has said in `DPoP-Nonce`. */
  keepNonce (origin: URL, nonce: string): void
  /**
   * The one in its place, since the API has rejected it: of the same user or client.
   *
   * @throws the coded errors of that token
   */
  renewed (): Promise<ApiToken>
}

/** Whose token goes with a call; `null`: nobody's. */
export type TokenSource = () => Promise<ApiToken | null>

/** The token of a client, for an instance. */
export async function clientToken (client: ClientTokens, wish: TokenWish, server: FastifyInstance, forceRenewal?: string): Promise<ApiToken> {
  const { accessToken, tokenType } = await client.token({ ...wish, ...(forceRenewal !== undefined && { forceRenewal }) }, server)
  return {
    accessToken,
    tokenType,
    proof: async (request) => await client.dpopProof({ ...request, accessToken }, server),
    keepNonce: (origin, nonce) => client.keepNonce(origin, nonce),
    renewed: async () => await clientToken(client, wish, server, accessToken)
  }
}
