import type { FastifyReply, FastifyRequest } from 'fastify'
import { accessorOf } from './decorate-requests.ts'

/**
 * Refreshes the session's tokens if it is time, before handlers run. It never fails a request by itself:
 * `request.accessToken()` gives the outcome, or throws it. For which provider, resource and scope, the route says in its
 * `config: { tokens: { provider, resource, scope } }`.
 */
export function refreshTokens (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const { tokens } = request.routeOptions.config
  if (tokens === false || !accessorOf(request).isDue(tokens)) return done()
  accessorOf(request).accessToken(tokens).then(() => done(), (error: unknown) => {
    request.log.debug({ err: error }, 'There is no current access token for this request')
    done()
  })
}

/**
 * The same as a guard: without a current access token the request ends here, before its body is parsed.
 *
 * @throws what `request.accessToken()` throws.
 * @example
 * app.get('/orders', { onRequest: app.requireAccessToken }, handler)
 */
export async function requireAccessToken (request: FastifyRequest): Promise<void> {
  const { tokens } = request.routeOptions.config
  await accessorOf(request).accessToken(tokens === false ? {} : tokens)
}
