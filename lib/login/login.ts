import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import type { Paths } from '../options/paths.ts'
import type { Provider } from '../provider.ts'
import { ownRoute } from '../request/own-route.ts'
import { createSeal } from '../stores/seal.ts'
import { asksForIdToken, authorizationRequest } from './authorization-request.ts'
import { callback } from './callback.ts'
import { loginFailure } from './login-failure.ts'
import { startLogin, type StartLogin } from './start-login.ts'
import { transactionPrefix, Transactions } from './transactions.ts'

export interface LoginSettings extends Pick<CheckedOptions, 'clientId' | 'issuer' | 'session' | 'dpop' | 'gracePeriod' | 'requestTimeout'> {
  readonly provider: Provider
  readonly paths: Paths
  readonly login: NonNullable<CheckedOptions['login']>
  /** Where `reply.startLogin()` finds it. */
  readonly logins: Map<string, StartLogin>
}

/** The login: a route that sends the browser to the provider, and one to which that sends it back. */
export async function login (fastify: FastifyInstance, { logins, ...settings }: LoginSettings): Promise<void> {
  const { provider, paths, login: options, session, dpop, gracePeriod, requestTimeout } = settings
  const seal = await createSeal(fastify, settings, 'login', transactionPrefix(provider.name, session))
  const transactions = new Transactions(seal, { provider: provider.name, session, clock: provider.clock })
  const home = `${paths.strippedPrefix}/`
  const answerFailure = loginFailure({ onFailed: options.onFailed, loginPath: paths.login ?? home })
  const start = startLogin({
    provider,
    transactions,
    authorizationRequest: await authorizationRequest(fastify, settings),
    answerFailure,
    origin: new URL(options.callbackUri).origin,
    strippedPrefix: paths.strippedPrefix,
    home
  })
  logins.set(provider.name, start)
  warnOfBareCodes(fastify, provider, options)

  fastify.get(options.startRedirectPath, ownRoute, async (request, reply) => {
    const { returnTo } = request.query as { returnTo?: unknown }
    return await start(request, reply, { returnTo })
  })
  fastify.get(paths.callback, ownRoute, callback({ provider, login: options, transactions, answerFailure, gracePeriod, requestTimeout, home, claims: session.claims, wantsDpop: dpop !== undefined }))
  // What is almost the callback has a code in its address, too: whoever answers that must not log it.
  fastify.route({ ...ownRoute, method: ['HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], url: paths.callback, handler: notFound })
  if (paths.callback !== '/') fastify.route({ ...ownRoute, method: ['GET', 'HEAD'], url: `${paths.callback}/*`, handler: notFound })
}

async function notFound (_request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  return reply.code(404).send({ statusCode: 404, error: 'Not Found', message: 'Not Found' })
}

/** Without PKCE and without a nonce, a code that was stolen from one browser logs in another one (RFC 9700 §4.5). */
function warnOfBareCodes ({ log }: FastifyInstance, { tokenService: { metadata } }: Provider, { scope, nonce }: LoginSettings['login']): void {
  if (metadata.code_challenge_methods_supported?.includes('S256') || (nonce && asksForIdToken(scope))) return
  log.warn({ issuer: metadata.issuer }, 'Nothing is known to bind a code to the browser that asked for it: the provider does not list S256 in code_challenge_methods_supported, ' +
    'and no nonce is asked for. Ask for the scope openid, if there are id_tokens; or, if the provider has PKCE, say so in metadata')
}
