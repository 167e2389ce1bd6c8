import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { accessorOf } from '../request/decorate-requests.ts'
import { LoginFailed } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { Provider } from '../provider.ts'
import { createSeal } from '../stores/seal.ts'
import { readClaims } from '../tokens/jwt.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { asksForIdToken, authorizationRequest, nonceOf } from './authorization-request.ts'
import { localPath } from './local-path.ts'
import { clearLoginCookies, loginCookies } from './login-cookies.ts'
import { redemptionError } from './login-error.ts'
import { LoginKey } from './login-key.ts'

export interface LoginSettings extends Pick<CheckedOptions, 'clientId' | 'issuer' | 'session' | 'dpop'> {
  readonly provider: Provider
  readonly login: NonNullable<CheckedOptions['login']>
}

/**
 * The login: @fastify/oauth2 makes the redirect with its `state` and PKCE challenge; the callback is ours, since the code
 * is redeemed over the backchannel, with the client's own authentication and all checks.
 */
export async function login (fastify: FastifyInstance, { provider, login: options, ...settings }: LoginSettings): Promise<void> {
  const { clientId, session, dpop } = settings
  const cookies = loginCookies(provider.name, session.cookie.secure)
  const { names, attributes } = cookies
  const loginKey = dpop && new LoginKey(dpop.alg, await createSeal(fastify, settings, 'login', names.dpopKey), cookies)
  const startLogin = await authorizationRequest(fastify, { provider, clientId, login: options, cookies, loginKey })
  // No hook refreshes here, no HEAD redeems a code, and no code gets into the log.
  const route = { config: { tokens: false }, exposeHeadRoute: false, logSerializers: { req: withoutQuery } } as const

  fastify.get(options.startRedirectPath, route, async (request, reply) => {
    const { returnTo } = request.query as { returnTo?: unknown }
    reply.setCookie(names.returnTo, localPath(returnTo), attributes).header('cache-control', 'no-store')
    return reply.redirect((await startLogin(request, reply)).href, 303)
  })

  fastify.get(callbackPath(options.callbackUri, fastify.prefix), route, async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const tokens = await redeem(request, reply)
    const claims = tokens.idToken === undefined ? undefined : readClaims(tokens.idToken)
    if (options.saveTokens) await accessorOf(request).session({ provider: provider.name }).start(tokens)
    await (options.saveTokens ? options.onLogin : options.onTokens)?.(request, reply, tokens, claims)
    if (reply.sent) return reply
    return reply.redirect(localPath(request.cookies[names.returnTo]), 303)
  })

  async function redeem (request: FastifyRequest, reply: FastifyReply): Promise<TokenSet> {
    const { [names.state]: state, [names.codeVerifier]: codeVerifier } = request.cookies
    const parameters = new URL(request.url, options.callbackUri).searchParams
    if (!state || !codeVerifier) throw new LoginFailed('this browser has not started it, or has finished it already')
    if (parameters.get('state') !== state) throw new LoginFailed('the state is not the one of this browser\'s last login')
    clearLoginCookies(request, reply, cookies)
    const dpopKey = loginKey?.of(request, state)
    if (loginKey !== undefined && dpopKey === undefined) throw new LoginFailed('this browser does not hold the DPoP key that it was started with')
    try {
      return await provider.loginRequests.redeem({
        parameters,
        state,
        codeVerifier,
        redirectUri: options.callbackUri,
        scope: options.scope.join(' '),
        resource: [options.resource ?? []].flat()[0],
        ...(asksForIdToken(options.scope) && { nonce: nonceOf(state) }),
        dpopKey
      }, provider.backchannelFor(request.server))
    } catch (error) {
      throw redemptionError(error)
    }
  }
}

function withoutQuery ({ method, url }: FastifyRequest) {
  return { method, url: url.split('?')[0] }
}

/** The route of the callback: Fastify puts the prefix of the context before it, and the URI has that already. */
function callbackPath (callbackUri: string, prefix: string): string {
  const { pathname } = new URL(callbackUri)
  return pathname.startsWith(`${prefix}/`) ? pathname.slice(prefix.length) : pathname
}
