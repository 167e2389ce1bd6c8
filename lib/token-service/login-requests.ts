import { LRUCache } from 'lru-cache'
import * as oauth from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { firstTokenSet, type Reading, type TokenResponse } from '../tokens/from-response.ts'
import { isExpired } from '../tokens/lifetime.ts'
import type { JsonWebKey, TokenSet } from '../tokens/token-set.ts'
import { askedFor } from '../tokens/token-wish.ts'
import { BackchannelError } from './backchannel.ts'
import type { ProviderRequests } from './provider-requests.ts'
import { judgeAnswer } from './judge.ts'
import { mayLogIn, serverNamed } from './tenants.ts'
import { AnswerError } from './token-response.ts'
import { Turns } from './turns.ts'
import { userInfoAnswer } from './user-info-answer.ts'

/** Answers that wait for the key that has signed them, for so many milliseconds. */
const MOST_UNVERIFIED = 100
const UNVERIFIED_MS = 60_000

/** What came back to the callback of the login, and what its code must match. */
export interface Callback {
  readonly parameters: URLSearchParams
  readonly state: string
  readonly codeVerifier: string
  readonly redirectUri: string
  readonly scope: string
  /** What the access token is for (RFC 8707 §2.2), where the login asks for a resource. */
  readonly resource?: string | undefined
  /** Default: where it must hold a nonce. */
  readonly requireIdToken?: boolean
  /** What the id_token must hold; missing where none was asked for. */
  readonly nonce?: string | undefined
  /** The key that the code is bound to (RFC 9449 §10). */
  readonly dpopKey?: JsonWebKey | undefined
}

/** What a login asks of the provider. */
export class LoginRequests {
  readonly #requests: ProviderRequests
  readonly #tenants: readonly string[] | undefined
  readonly #turns: Turns
  /** What a code has brought whose key could not be had: the code is spent, and the browser comes again with it. */
  readonly #unverified = new LRUCache<string, [TokenResponse, Reading]>({ max: MOST_UNVERIFIED, ttl: UNVERIFIED_MS })

  /** @param turns - what anonymous visitors may ask for at one time, so that nobody's refresh waits for them; by default everybody at once. */
  constructor (requests: ProviderRequests, tenants?: readonly string[], turns = new Turns({ atOnce: Infinity, patience: Infinity, clock: () => 0 })) {
    this.#requests = requests
    this.#tenants = tenants
    this.#turns = turns
  }

  /**
   * Checks `iss` (RFC 9207) and `state` of what came back, and whether it is a code, without asking anybody.
   *
   * @throws oauth4webapi's AuthorizationResponseError and OperationProcessingError
   */
  check ({ parameters, state }: Pick<Callback, 'parameters' | 'state'>): URLSearchParams {
    const { server, client } = this.#requests
    return oauth.validateAuthResponse(serverNamed(server, parameters.get('iss')), client, parameters, state)
  }

  /**
   * Redeems the code of a login (RFC 6749 §4.1.3), after these checks. Where no id_token could be verified nothing is spent.
   *
   * @throws BackchannelError, AnswerError, and what `check()` throws
   */
  async redeem (callback: Callback, dispatcher: Dispatcher): Promise<TokenSet> {
    const { dpopKey, resource, scope, nonce, requireIdToken = nonce !== undefined, redirectUri, codeVerifier } = callback
    const code = this.check(callback)
    const checks = { requireIdToken, ...(nonce !== undefined && { expectedNonce: nonce }) }
    const { signatures } = this.#requests
    const isVerified = requireIdToken && signatures.areVerified
    if (isVerified) await signatures.keys.current({ dispatcher, isUrgent: true })
    const answered = this.#unverified.get(codeVerifier) ?? await this.#turns.take(() => this.#requests.tokens({ dpopKey, dispatcher },
      (parties, options) => oauth.authorizationCodeGrantRequest(...parties, code, redirectUri, codeVerifier, { ...options, additionalParameters: askedFor({ resource }) }),
      (server, client, answer) => oauth.processAuthorizationCodeResponse(server, client, answer, checks),
      { idToken: requireIdToken ? 'required' : 'byProduct', checkSignature: signatures.ofByProducts(dispatcher) }))
    if (isVerified) await this.#verify(codeVerifier, answered, dispatcher)
    const [response, reading] = answered
    if (!mayLogIn(this.#tenants, response.id_token)) throw new Error('this account is of a tenant that may not log in here: it is not listed in tenants')
    const tokens = firstTokenSet(response, { ...reading, requested: { resource, scope }, dpopKey })
    if (tokens.refreshToken === undefined && tokens.accessTokens.some((token) => isExpired(token, token.issuedAt))) {
      throw new AnswerError('the access token has no lifetime, and there is no refresh token', { status: 200 })
    }
    return tokens
  }

  /** @throws BackchannelError, after which the browser may come again; AnswerError where the provider has not signed it. */
  async #verify (codeVerifier: string, answered: [TokenResponse, Reading], dispatcher: Dispatcher): Promise<void> {
    const [{ id_token: idToken = '' }] = answered
    this.#unverified.delete(codeVerifier)
    try {
      await this.#requests.signatures.keyOf(idToken, { dispatcher, isUrgent: true })
    } catch (error) {
      if (!(error instanceof BackchannelError)) throw new AnswerError(`the id_token: ${error instanceof Error ? error.message : 'unknown'}`, { status: 200 })
      this.#unverified.set(codeVerifier, answered)
      throw error
    }
  }

  /**
   * What the provider says of the user of these tokens (OpenID Connect Core §5.3), who has to be this one (§5.3.2).
   *
   * @throws BackchannelError, AnswerError
   */
  async userInfo ({ accessTokens: [login], dpopKey }: TokenSet, subject: string, dispatcher: Dispatcher): Promise<Record<string, unknown>> {
    const { server, client } = this.#requests
    return await this.#turns.take(() => this.#requests.ask({ dpopKey, dispatcher },
      async (_parties, options) => userInfoAnswer(await oauth.userInfoRequest(server, client, login?.accessToken ?? '', options)),
      (success) => judgeAnswer(success, (answer) => oauth.processUserInfoResponse(server, client, subject, answer)),
      null))
  }

  /**
   * Pushes an authorization request (RFC 9126): the `request_uri` that stands for it. A proof binds the code to the key like
   * `dpop_jkt` does, and brings the first nonce before the code is at stake (RFC 9449 §10.1).
   *
   * @throws BackchannelError, AnswerError
   */
  async pushAuthorization (parameters: URLSearchParams, dpopKey: JsonWebKey | undefined, dispatcher: Dispatcher): Promise<string> {
    const { server, client } = this.#requests
    const { request_uri: requestUri } = await this.#turns.take(() => this.#requests.ask({ dpopKey, dispatcher },
      (parties, options) => oauth.pushedAuthorizationRequest(...parties, parameters, options),
      (success) => judgeAnswer(success, (answer) => oauth.processPushedAuthorizationResponse(server, client, answer), 201)))
    return requestUri
  }
}
