import type { FastifyContextConfig, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { InvalidOptions, isNobody } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { accessorOf } from './decorate-requests.ts'
import { wantsPage } from './navigation.ts'
import { sendUnauthenticated } from './unauthenticated.ts'

/** What a route says of tokens. */
export type RouteTokens = Exclude<FastifyContextConfig['tokens'], false | undefined>

/** Seconds. A login that was over so soon would be so again, and the browser would go round in circles. */
const JUST_NOW = 10

/**
 * Guards a route whose `config.tokens` says `required`: without a current access token the request ends here. With
 * `required: 'login'` who goes to a page is sent to the login, and comes back to it.
 *
 * @throws what `request.accessToken()` throws; FST_TOKEN_INVALID_OPTIONS where there is no login.
 */
export async function guard (request: FastifyRequest, reply: FastifyReply, tokens: RouteTokens): Promise<unknown> {
  const accessor = accessorOf(request)
  const provider = accessor.provider(tokens.provider)
  const problem = loginProblem(tokens, provider)
  if (problem !== undefined) throw new InvalidOptions(problem)
  try {
    return await accessor.accessToken(tokens)
  } catch (error) {
    if (tokens.required !== 'login' || !isNobody(error)) throw error
    return await sendToLogin(request, reply, provider, error)
  }
}

/** What is wrong with a route that sends browsers to this provider's login. */
export function loginProblem ({ required }: RouteTokens, { name, loginPath }: Provider): string | undefined {
  return required === 'login' && loginPath === undefined
    ? `config.tokens.required is 'login', and the registration ${name} has no option login. Give it one, or say required: true`
    : undefined
}

/** Who has sent a form comes back to its page: what was in it is gone. */
async function sendToLogin (request: FastifyRequest, reply: FastifyReply, provider: Provider, error: FastifyError): Promise<FastifyReply> {
  const { name, clock } = provider
  const before = await accessorOf(request).session({ provider: name }).state.readable()
  const isInCircles = before !== null && clock() - before.startedAt < JUST_NOW
  if (isInCircles || !wantsPage(request)) return await sendUnauthenticated(reply, provider, error)
  return await reply.startLogin({ provider: name, returnTo: request.method === 'GET' ? undefined : request.headers.referer })
}
