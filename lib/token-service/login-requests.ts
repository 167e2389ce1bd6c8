import * as oauth from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { firstTokenSet } from '../tokens/from-response.ts'
import { isExpired } from '../tokens/lifetime.ts'
import type { JsonWebKey, TokenSet } from '../tokens/token-set.ts'
import { askedFor } from '../tokens/token-wish.ts'
import type { ProviderRequests } from './provider-requests.ts'
import { judgeAnswer } from './judge.ts'
import { mayLogIn, serverNamed } from './tenants.ts'
import { AnswerError } from './token-response.ts'

/** What came back to the callback of the login, and what it must match. */
export interface Callback {
  readonly parameters: URLSearchParams
  readonly state: string
  readonly codeVerifier: string
  readonly redirectUri: string
  readonly scope: string
  /** What the access token is for (RFC 8707 §2.2), where the login asks for a resource. */
  readonly resource?: string | undefined
  /** Missing where no id_token was asked for. */
  readonly nonce?: string
  /** The key that the code is bound to (RFC 9449 §10). */
  readonly dpopKey?: JsonWebKey | undefined
}

/** What a login asks of the provider. */
export class LoginRequests {
  readonly #requests: ProviderRequests
  readonly #tenants: readonly string[] | undefined

  constructor (requests: ProviderRequests, tenants?: readonly string[]) {
    this.#requests = requests
    this.#tenants = tenants
  }

  /**
   * Redeems the code of a login (RFC 6749 §4.1.3), after checking `iss` (RFC 9207) and `state`.
   *
   * @throws BackchannelError, AnswerError, or oauth4webapi's AuthorizationResponseError and OperationProcessingError
   */
  async redeem (callback: Callback, dispatcher: Dispatcher): Promise<TokenSet> {
    const { server, client } = this.#requests
    const { dpopKey, resource, scope, nonce, redirectUri, codeVerifier } = callback
    const code = oauth.validateAuthResponse(serverNamed(server, callback.parameters.get('iss')), client, callback.parameters, callback.state)
    const idTokenChecks = nonce === undefined ? {} : { expectedNonce: nonce, requireIdToken: true }
    const [response, reading] = await this.#requests.tokens({ dpopKey, dispatcher },
      (parties, options) => oauth.authorizationCodeGrantRequest(...parties, code, redirectUri, codeVerifier, { ...options, additionalParameters: askedFor({ resource }) }),
      (server, client, answer) => oauth.processAuthorizationCodeResponse(server, client, answer, idTokenChecks),
      { idToken: nonce === undefined ? 'byProduct' : 'required' })
    if (!mayLogIn(this.#tenants, response.id_token)) throw new Error('this account is of a tenant that may not log in here: it is not listed in tenants')
    const tokens = firstTokenSet(response, { ...reading, requested: { resource, scope }, dpopKey })
    if (tokens.refreshToken === undefined && tokens.accessTokens.some((token) => isExpired(token, token.issuedAt))) {
      throw new AnswerError('the access token has no lifetime, and there is no refresh token', { status: 200 })
    }
    return tokens
  }

  /**
   * Pushes an authorization request (RFC 9126): the `request_uri` that stands for it. A proof binds the code to the key like
   * `dpop_jkt` does, and brings the first nonce before the code is at stake (RFC 9449 §10.1).
   *
   * @throws BackchannelError, AnswerError
   */
  async pushAuthorization (parameters: URLSearchParams, dpopKey: JsonWebKey | undefined, dispatcher: Dispatcher): Promise<string> {
    const { server, client } = this.#requests
    const { request_uri: requestUri } = await this.#requests.ask({ dpopKey, dispatcher },
      (parties, options) => oauth.pushedAuthorizationRequest(...parties, parameters, options),
      (success) => judgeAnswer(success, (answer) => oauth.processPushedAuthorizationResponse(server, client, answer), 201))
    return requestUri
  }
}
