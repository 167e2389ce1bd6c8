import { createHash } from 'node:crypto'
import fastifyOauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DiscoveryFailed } from '../errors.ts'
import { extraParameters, RESERVED_FOR_LOGIN } from '../tokens/extra-parameters.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { Provider } from '../provider.ts'
import { thumbprintOf } from '../token-service/dpop.ts'
import type { JsonWebKey } from '../tokens/token-set.ts'
import type { LoginCookies } from './login-cookies.ts'
import { pushError } from './login-error.ts'
import type { LoginKey } from './login-key.ts'

/** @fastify/oauth2 lets parameters be made for each request under this symbol. */
const kCallbackUriParams = Symbol.for('fastify-oauth2.generate-callback-uri-params')

export interface AuthorizationRequestSettings {
  readonly provider: Provider
  readonly clientId: string
  readonly login: NonNullable<CheckedOptions['login']>
  readonly cookies: LoginCookies
  /** `undefined` without DPoP. */
  readonly loginKey: LoginKey | undefined
}

/** Starts a login: leaves its cookies in the browser, and says where to send that. */
export type StartLogin = (request: FastifyRequest, reply: FastifyReply) => Promise<URL>

/**
 * The authorization request: `state` and the PKCE challenge are made by @fastify/oauth2, `nonce` and `dpop_jkt` (RFC 9449
 * §10) are added, the resources (RFC 8707 §2.1) and what the app has to say, and the whole is pushed to the provider (RFC 9126) where that is asked for.
 */
export async function authorizationRequest (fastify: FastifyInstance, { provider, clientId, login, cookies, loginKey }: AuthorizationRequestSettings): Promise<StartLogin> {
  const { tokenService, loginRequests, backchannelFor } = provider
  const { names, attributes } = cookies
  const { authorization_endpoint: authorizationEndpoint, pushed_authorization_request_endpoint: pushEndpoint, issuer } = tokenService.metadata
  if (authorizationEndpoint === undefined) throw new DiscoveryFailed(issuer, 'the document has no authorization_endpoint, which login needs')
  if (isPushed() && pushEndpoint === undefined) throw new DiscoveryFailed(issuer, 'the document has no pushed_authorization_request_endpoint, which pushed authorization requests need')
  const endpoint = new URL(authorizationEndpoint)
  const auth = { authorizeHost: endpoint.origin, authorizePath: endpoint.pathname + endpoint.search, tokenHost: endpoint.origin, [kCallbackUriParams]: withNonce }

  await fastify.register(fastifyOauth2, {
    name: 'tokenManagement',
    scope: login.scope,
    // Nothing is redeemed there, so it gets no secret that a message of it could print.
    credentials: { client: { id: clientId, secret: 'not used here' }, auth },
    callbackUri: login.callbackUri,
    pkce: 'S256',
    cookie: attributes,
    redirectStateCookieName: names.state,
    verifierCookieName: names.codeVerifier
  })
  const oauth2 = fastify.getDecorator<OAuth2Namespace>('tokenManagement')

  function withNonce (parameters: object, _request: FastifyRequest, _scope: unknown, state: string) {
    return asksForIdToken(login.scope) ? { ...parameters, nonce: nonceOf(state) } : parameters
  }

  function isPushed (): boolean {
    return login.pushedAuthorizationRequests || tokenService.metadata.require_pushed_authorization_requests === true
  }

  /** The provider gets the parameters from the app itself, and the browser takes along only what they are called now. */
  async function push (parameters: URLSearchParams, dpopKey: JsonWebKey | undefined, server: FastifyInstance): Promise<URL> {
    const uri = new URL(endpoint)
    for (const name of endpoint.searchParams.keys()) parameters.delete(name)
    try {
      uri.searchParams.set('client_id', clientId)
      uri.searchParams.set('request_uri', await loginRequests.pushAuthorization(parameters, dpopKey, backchannelFor(server)))
      return uri
    } catch (error) {
      throw pushError(error)
    }
  }

  return async (request, reply) => {
    const extra = await extraParameters('login.parameters', login.parameters, request, RESERVED_FOR_LOGIN)
    const uri = new URL(await oauth2.generateAuthorizationUri(request, reply))
    const { searchParams: parameters } = uri
    for (const [name, value] of extra) parameters.set(name, value)
    for (const resource of [login.resource ?? []].flat()) parameters.append('resource', resource)
    const dpopKey = await loginKey?.start(reply, parameters.get('state'))
    if (dpopKey !== undefined) parameters.set('dpop_jkt', await thumbprintOf(dpopKey))
    return isPushed() ? await push(parameters, dpopKey, request.server) : uri
  }
}

export function asksForIdToken (scope: readonly string[]): boolean {
  return scope.includes('openid')
}

/** The nonce is a hash of the state, which the browser holds in a cookie already (OpenID Connect Core §15.5.2). */
export function nonceOf (state: string): string {
  return createHash('sha256').update(state).digest('base64url')
}
