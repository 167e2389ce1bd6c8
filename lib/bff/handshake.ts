import type { FastifyRequest } from 'fastify'
import type { Api } from '../outbound/api.ts'
import type { ApiToken } from '../outbound/api-token.ts'
import { forwarded, type Places } from './proxied-headers.ts'
import { pathBelow } from './proxied-path.ts'

/** What the handshake of a WebSocket with an API carries: it is made once, so a token that is rejected there is not renewed. */
export async function handshakeHeaders (request: FastifyRequest, { origin }: Api, token: ApiToken | null, { apiPrefix, prefix }: Places): Promise<Record<string, string>> {
  if (token === null) return forwarded(request)
  const htu = origin + apiPrefix + pathBelow(prefix, request.url)
  return {
    ...forwarded(request),
    authorization: `${token.tokenType} ${token.accessToken}`,
    ...(token.tokenType === 'DPoP' && { dpop: await token.proof({ htm: 'GET', htu }) })
  }
}
