import { randomBytes } from 'node:crypto'
import fastifyOauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DiscoveryFailed, InvalidParameters } from '../errors.ts'
import { extraParameters, RESERVED_FOR_LOGIN } from '../tokens/extra-parameters.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { DpopAlgorithm } from '../options/schema.ts'
import type { Provider } from '../provider.ts'
import { generateDpopKey, thumbprintOf } from '../token-service/dpop.ts'
import type { JsonWebKey } from '../tokens/token-set.ts'
import { isScopeToken } from '../tokens/token-wish.ts'
import { pushError } from './login-error.ts'
import type { Transaction } from './transaction.ts'

export interface AuthorizationRequestSettings {
  readonly provider: Provider
  readonly clientId: string
  readonly login: NonNullable<CheckedOptions['login']>
  readonly dpop?: { readonly alg: DpopAlgorithm } | undefined
}

/** What one login asks for in place of what the options say. */
export interface LoginWish {
  /** In place of `login.scope`; as text, with spaces in between. */
  readonly scope?: string | readonly string[] | undefined
  /** Beside `login.parameters`, or in place of what those say: `prompt`, `acr_values`, `max_age`, `login_hint`… */
  readonly parameters?: Readonly<Record<string, string>> | undefined
}

/** Where a login sends the browser, and what that is to come back with. */
export interface StartedLogin {
  readonly url: URL
  readonly transaction: Omit<Transaction, 'returnTo'>
}

/** Makes an authorization request. */
export type AuthorizationRequest = (request: FastifyRequest, reply: FastifyReply, wish: LoginWish) => Promise<StartedLogin>

/**
 * The authorization request: `state` and the PKCE challenge are made by @fastify/oauth2; `nonce`, `dpop_jkt` (RFC 9449 §10),
 * the resources (RFC 8707 §2.1) and what the app has to say are added, and the whole is pushed to the provider (RFC 9126)
 * where that is asked for.
 */
export async function authorizationRequest (fastify: FastifyInstance, { provider, clientId, login, dpop }: AuthorizationRequestSettings): Promise<AuthorizationRequest> {
  const { tokenService, loginRequests, backchannelFor, clock } = provider
  const { authorization_endpoint: authorizationEndpoint, pushed_authorization_request_endpoint: pushEndpoint, issuer } = tokenService.metadata
  if (authorizationEndpoint === undefined) throw new DiscoveryFailed(issuer, 'the document has no authorization_endpoint, which login needs')
  if (isPushed() && pushEndpoint === undefined) throw new DiscoveryFailed(issuer, 'the document has no pushed_authorization_request_endpoint, which pushed authorization requests need')
  const endpoint = new URL(authorizationEndpoint)

  await fastify.register(fastifyOauth2, {
    name: 'tokenManagement',
    scope: login.scope,
    // Nothing is redeemed there, so it gets no secret that a message of it could print.
    credentials: {
      client: { id: clientId, secret: 'not used here' },
      auth: { authorizeHost: endpoint.origin, authorizePath: endpoint.pathname + endpoint.search, tokenHost: endpoint.origin }
    },
    callbackUri: login.callbackUri,
    pkce: 'S256',
    redirectStateCookieName: STATE,
    verifierCookieName: VERIFIER
  })
  const oauth2 = fastify.getDecorator<OAuth2Namespace>('tokenManagement')

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

  return async (request, reply, { scope: asked, parameters: given }) => {
    const scope = readScope(asked)
    const extra = await extraParameters('login.parameters', login.parameters, request, RESERVED_FOR_LOGIN)
    const own = await extraParameters('the parameters of startLogin()', given, request, RESERVED_FOR_LOGIN)
    const { url, state, codeVerifier } = await begin(oauth2, request, reply)
    const { searchParams: parameters } = url
    if (scope !== undefined) parameters.set('scope', scope.join(' '))
    const nonce = login.nonce && asksForIdToken(scope ?? login.scope) ? randomBytes(32).toString('base64url') : undefined
    if (nonce !== undefined) parameters.set('nonce', nonce)
    for (const [name, value] of [...extra, ...own]) parameters.set(name, value)
    for (const resource of [login.resource ?? []].flat()) parameters.append('resource', resource)
    const dpopKey = dpop && await generateDpopKey(dpop.alg)
    if (dpopKey !== undefined) parameters.set('dpop_jkt', await thumbprintOf(dpopKey))
    return {
      url: isPushed() ? await push(parameters, dpopKey, request.server) : url,
      transaction: {
        state,
        codeVerifier,
        startedAt: clock(),
        ...(nonce !== undefined && { nonce }),
        ...(scope && { scope }),
        ...(dpopKey && { dpopKey })
      }
    }
  }
}

/** @throws FST_TOKEN_INVALID_PARAMETERS */
function readScope (scope: LoginWish['scope']): readonly string[] | undefined {
  const scopes: unknown = typeof scope === 'string' ? scope.split(' ').filter((token) => token !== '') : scope ?? undefined
  if (scopes === undefined || (Array.isArray(scopes) && scopes.every(isScopeToken))) return scopes
  throw new InvalidParameters('the scope of startLogin() must be scope tokens (RFC 6749 §3.3)')
}

export function asksForIdToken (scope: readonly string[]): boolean {
  return scope.includes('openid')
}

/** What @fastify/oauth2 calls the cookies that it would set. */
const STATE = 'state'
const VERIFIER = 'verifier'

/** @fastify/oauth2 has one cookie each for the state and the verifier, whatever the number of tabs: a stand-in of the reply takes the two. */
async function begin (oauth2: OAuth2Namespace, request: FastifyRequest, reply: FastifyReply): Promise<{ url: URL, state: string, codeVerifier: string }> {
  const kept = new Map<string, string>()
  const standIn: FastifyReply = Object.create(reply, { setCookie: { value: (name: string, value: string) => { kept.set(name, value) } } })
  const url = new URL(await oauth2.generateAuthorizationUri(request, standIn))
  const { [STATE]: state, [VERIFIER]: codeVerifier } = Object.fromEntries(kept)
  if (state === undefined || codeVerifier === undefined) throw new Error('@fastify/oauth2 has made no state or no code verifier')
  return { url, state, codeVerifier }
}
