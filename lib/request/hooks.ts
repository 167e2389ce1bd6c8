import type { FastifyReply, FastifyRequest } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import { routeProblem } from '../options/route-check.ts'
import { accessorOf } from './decorate-requests.ts'
import { isOwnRoute } from './own-route.ts'
import { guard, type RouteTokens } from './required.ts'

/** What routes say of tokens, where nothing is wrong with it. */
const judged = new WeakSet<object>()

/**
 * Refreshes the session's tokens if it is time, before handlers run. It never fails a request by itself:
 * `request.accessToken()` gives the outcome, or throws it. For which provider, resource and scope, the route says in its
 * `config: { tokens: { provider, resource, scope } }`; with `required: true` there, it guards the route as
 * `requireAccessToken` does.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS for a route that says something wrong, and was registered before the plugin.
 */
export function refreshTokens (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
  const { tokens } = request.routeOptions.config
  if (tokens === false) return done()
  if (tokens?.required) return guardRoutes(request, reply, done)
  const problem = problemOf(tokens)
  if (problem !== undefined) return done(problem)
  if (!accessorOf(request).isDue(tokens)) return done()
  accessorOf(request).accessToken(tokens).then(() => done(), (error: unknown) => {
    request.log.debug({ err: error }, 'There is no current access token for this request')
    done()
  })
}

/** Guards the routes whose `config.tokens` says `required`, and leaves all others alone. */
export function guardRoutes (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
  const { tokens } = request.routeOptions.config
  if (tokens === undefined || tokens === false) return done()
  const problem = problemOf(tokens)
  if (problem !== undefined || !tokens.required) return done(problem)
  if (tokens.required === true && accessorOf(request).atHand(tokens) !== undefined) return done()
  guard(request, reply, tokens).then(() => done(), done)
}

/**
 * The same as a guard: without a current access token the request ends here, before its body is parsed.
 *
 * @throws what `request.accessToken()` throws.
 * @example
 * app.get('/orders', { onRequest: app.requireAccessToken }, handler)
 */
export async function requireAccessToken (request: FastifyRequest): Promise<void> {
  // The hook of a whole app must not close the way to the login.
  if (isOwnRoute(request)) return
  const { tokens } = request.routeOptions.config
  const problem = tokens === false ? undefined : problemOf(tokens)
  if (problem !== undefined) throw problem
  const accessor = accessorOf(request)
  const wish = tokens === false ? {} : tokens
  if (accessor.atHand(wish) === undefined) await accessor.accessToken(wish)
}

/** The boot has judged the routes that it has seen; whether there is such a provider is found when it is asked for. */
function problemOf (tokens: RouteTokens | undefined): Error | undefined {
  if (tokens === undefined || judged.has(tokens)) return undefined
  const problem = routeProblem(tokens, tokens.provider === undefined ? [] : [tokens.provider])
  if (problem !== undefined) return new InvalidOptions(problem)
  judged.add(tokens)
  return undefined
}
