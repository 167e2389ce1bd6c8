import { createHash } from 'node:crypto'
import fastifyOauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AuthorizationResponseError, OperationProcessingError } from 'oauth4webapi'
import { accessorOf } from '../accessor.ts'
import { DiscoveryFailed, LoginFailed } from '../errors.ts'
import type { CheckedOptions } from '../options-check.ts'
import type { Provider } from '../provider.ts'
import { classifyFailure, errorOf } from '../refresh/failure.ts'
import { readClaims, type TokenSet } from '../token-set.ts'
import { localPath } from './local-path.ts'

/** How long somebody may take at the login page, in seconds. */
const LOGIN_SECONDS = 3600

/** @fastify/oauth2 lets parameters be made for each request under this symbol. */
const kCallbackUriParams = Symbol.for('fastify-oauth2.generate-callback-uri-params')

export interface LoginSettings {
  readonly provider: Provider
  readonly clientId: string
  readonly login: NonNullable<CheckedOptions['login']>
  /** Whether cookies are `Secure`. */
  readonly secure: boolean
}

/**
 * The login: @fastify/oauth2 makes the redirect with its `state` and PKCE challenge; the callback is ours, since the code
 * is redeemed over the backchannel, with the client's own authentication and all checks.
 */
export async function login (fastify: FastifyInstance, { provider, clientId, login: options, secure }: LoginSettings): Promise<void> {
  const { tokenService } = provider
  const asksForIdToken = options.scope.includes('openid')
  const names = cookieNames(provider.name, secure)
  const cookie = { path: '/', httpOnly: true, secure, sameSite: 'lax', signed: false, maxAge: LOGIN_SECONDS } as const
  const { authorization_endpoint: authorizationEndpoint, issuer } = tokenService.metadata
  if (authorizationEndpoint === undefined) throw new DiscoveryFailed(issuer, 'the document has no authorization_endpoint, which login needs')
  const { origin, pathname, search } = new URL(authorizationEndpoint)

  const endpoints = {
    authorizeHost: origin,
    authorizePath: pathname + search,
    tokenHost: origin,
    [kCallbackUriParams]: (parameters: object, _request: FastifyRequest, _scope: unknown, state: string) =>
      asksForIdToken ? { ...parameters, nonce: nonceOf(state) } : parameters
  }
  await fastify.register(fastifyOauth2, {
    name: 'tokenManagement',
    scope: options.scope,
    // Nothing is redeemed there, so it gets no secret that a message of it could print.
    credentials: { client: { id: clientId, secret: 'not used here' }, auth: endpoints },
    callbackUri: options.callbackUri,
    pkce: 'S256',
    cookie,
    redirectStateCookieName: names.state,
    verifierCookieName: names.codeVerifier
  })
  const oauth2 = fastify.getDecorator<OAuth2Namespace>('tokenManagement')
  // No hook refreshes here, no HEAD redeems a code, and no code gets into the log.
  const route = { config: { tokens: false }, exposeHeadRoute: false, logSerializers: { req: withoutQuery } } as const

  fastify.get(options.startRedirectPath, route, async (request, reply) => {
    const { returnTo } = request.query as { returnTo?: unknown }
    reply.setCookie(names.returnTo, localPath(returnTo), cookie).header('cache-control', 'no-store')
    return reply.redirect(await oauth2.generateAuthorizationUri(request, reply), 303)
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
    for (const name of Object.values(names)) reply.clearCookie(name, { path: '/', secure })
    try {
      return await tokenService.redeem({
        parameters,
        state,
        codeVerifier,
        redirectUri: options.callbackUri,
        scope: options.scope.join(' '),
        ...(asksForIdToken && { nonce: nonceOf(state) })
      }, provider.backchannelFor(request.server))
    } catch (error) {
      throw loginError(error)
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

/** The nonce is a hash of the state, which the browser holds in a cookie already (OpenID Connect Core §15.5.2). */
function nonceOf (state: string): string {
  return createHash('sha256').update(state).digest('base64url')
}

function cookieNames (provider: string, secure: boolean) {
  const prefix = `${secure ? '__Host-' : ''}${provider === 'default' ? '' : `${provider}-`}login-`
  return { state: `${prefix}state`, codeVerifier: `${prefix}verifier`, returnTo: `${prefix}return-to` }
}

/** What cannot be redeemed is a 4xx; a token service that is down, or refuses the app, is not the user's fault. */
function loginError (error: unknown): Error {
  if (error instanceof AuthorizationResponseError) return new LoginFailed(`the provider answered ${JSON.stringify(error.error).slice(0, 66)}`)
  if (error instanceof OperationProcessingError) return new LoginFailed(error.message)
  const failure = classifyFailure(error)
  switch (failure.class) {
    case 'unavailable':
    case 'ambiguous':
    case 'refused':
      return errorOf(failure)
    default:
      return new LoginFailed(failure.message, { cause: failure.cause })
  }
}
