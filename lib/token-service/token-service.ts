import * as oauth from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { NoDpopKey, ServiceBadResponse } from '../errors.ts'
import type { DpopAlgorithm } from '../options.ts'
import { type AccessToken, firstTokenSet, isSameIdentity, type JsonWebKey, nextTokenSet, readAccessToken, type TokenResponse, type TokenSet } from '../token-set.ts'
import type { TokenWish } from '../token-wish.ts'
import type { Revocable } from '../revocation.ts'
import { callBackchannel } from './backchannel.ts'
import { boundedAuthentication } from './bounded-authentication.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { askWithNonce, checkDpopKey, Dpop, generateDpopKey, type ProofRequest } from './dpop.ts'
import { type Metadata, over } from './metadata.ts'
import { type Preparation, preparedAuthentication } from './prepared-authentication.ts'
import { AnswerError, judgeAnswer, judgeTokenResponse, type Process, readAnswer } from './token-response.ts'

/** Seconds that the clocks of the provider and of this machine may differ when an id_token is checked. */
const CLOCK_TOLERANCE = 30

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export interface TokenServiceSettings extends Preparation {
  readonly metadata: Metadata
  readonly clientId: string
  readonly clientAuthentication: ClientAuthentication
  /** Seconds. */
  readonly requestTimeout: number
  readonly defaultExpiresIn?: number | undefined
  /** Bind tokens to a key of each session (RFC 9449). */
  readonly dpop?: { readonly alg: DpopAlgorithm } | undefined
  readonly clock: () => number
}

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

interface Asking {
  readonly dpopKey: JsonWebKey | undefined
  readonly dispatcher: Dispatcher
}

/** An access token of a session that is to be exchanged, and the token set it is in. */
export interface Subject {
  readonly tokens: TokenSet
  readonly token: AccessToken
}

/** The token service: a method per grant. Every call goes over the dispatcher it is given, with one deadline. */
export class TokenService {
  readonly #settings: TokenServiceSettings
  readonly #dpop = new Dpop()
  /** The key of the client's own tokens, which live as long as this process. */
  #clientKey: Promise<JsonWebKey | undefined> | undefined

  constructor (settings: TokenServiceSettings) {
    const { clientAuthentication, requestTimeout } = settings
    this.#settings = { ...settings, clientAuthentication: boundedAuthentication(preparedAuthentication(clientAuthentication, settings), requestTimeout) }
  }

  get metadata (): oauth.AuthorizationServer {
    return this.#settings.metadata()
  }

  /**
   * Redeems the code of a login (RFC 6749 §4.1.3), after checking `iss` (RFC 9207) and `state`.
   *
   * @throws BackchannelError, AnswerError, or oauth4webapi's AuthorizationResponseError and OperationProcessingError
   */
  async redeem (callback: Callback, dispatcher: Dispatcher): Promise<TokenSet> {
    const { metadata } = this
    const parameters = oauth.validateAuthResponse(metadata, this.#client(), callback.parameters, callback.state)
    const issuedAt = this.#settings.clock()
    const { dpopKey, resource, scope } = callback
    const idTokenChecks = callback.nonce === undefined ? {} : { expectedNonce: callback.nonce, requireIdToken: true }
    const tokens = await this.#ask({ dpopKey, dispatcher },
      (options) => oauth.authorizationCodeGrantRequest(metadata, this.#client(), this.#settings.clientAuthentication,
        parameters, callback.redirectUri, callback.codeVerifier, { ...options, additionalParameters: asked({ resource }) }),
      (answer) => oauth.processAuthorizationCodeResponse(metadata, this.#client(), answer, idTokenChecks))
    return firstTokenSet(tokens, { ...this.#reading(issuedAt), requested: { resource, scope }, dpopKey })
  }

  /**
   * Pushes an authorization request (RFC 9126): the `request_uri` that stands for it. A proof binds the code to the key like
   * `dpop_jkt` does, and brings the first nonce before the code is at stake (RFC 9449 §10.1).
   *
   * @throws BackchannelError, AnswerError
   */
  async pushAuthorization (parameters: URLSearchParams, dpopKey: JsonWebKey | undefined, dispatcher: Dispatcher): Promise<string> {
    const { metadata } = this
    const options = await this.#options(dpopKey, dispatcher)
    const { request_uri: requestUri } = await askWithNonce(async () => await judgeAnswer(
      await oauth.pushedAuthorizationRequest(metadata, this.#client(), this.#settings.clientAuthentication, parameters, options),
      (answer) => oauth.processPushedAuthorizationResponse(metadata, this.#client(), answer), 201))
    return requestUri
  }

  /**
   * The session of a token response that the app got by itself.
   *
   * @throws FST_TOKEN_SERVICE_BAD_RESPONSE, FST_TOKEN_NO_DPOP_KEY
   */
  async adopt (response: TokenResponse, dpopKey: JsonWebKey | undefined): Promise<TokenSet> {
    if (typeof response.access_token !== 'string' || response.access_token === '') throw new ServiceBadResponse('it has no access_token')
    const tokenType = String(response.token_type).toLowerCase()
    if (tokenType === 'dpop' && dpopKey === undefined) throw new NoDpopKey('the tokens are bound to one. Give it, as a private JSON Web Key: save(response, { dpopKey })')
    const expected = dpopKey ?? this.#settings.dpop ? 'DPoP' : 'Bearer'
    if (tokenType !== expected.toLowerCase()) throw new ServiceBadResponse(`its token_type is not ${expected}`)
    if (dpopKey !== undefined) await checkDpopKey(dpopKey)
    return firstTokenSet(response, { ...this.#reading(this.#settings.clock()), dpopKey })
  }

  /**
   * Spends the refresh token of a session (RFC 6749 §6), and gives the successor of its token set. A session keeps the key
   * that it has; one from before the option `dpop` gets its own here.
   *
   * @throws BackchannelError, AnswerError
   */
  async refresh (previous: TokenSet & { refreshToken: string }, wish: TokenWish, dispatcher: Dispatcher): Promise<TokenSet> {
    const { metadata } = this
    const issuedAt = this.#settings.clock()
    const dpopKey = previous.dpopKey ?? await this.#newDpopKey()
    const tokens = await this.#ask({ dpopKey, dispatcher },
      (options) => oauth.refreshTokenGrantRequest(metadata, this.#client(), this.#settings.clientAuthentication,
        previous.refreshToken, { ...options, additionalParameters: asked(wish) }),
      (answer) => oauth.processRefreshTokenResponse(metadata, this.#client(), answer))
    if (!isSameIdentity(previous, tokens.id_token)) {
      throw new AnswerError('the id_token is of another identity than the session', { status: 200, wrongIdentity: true, refreshToken: tokens.refresh_token })
    }
    return nextTokenSet({ ...previous, ...(dpopKey && { dpopKey }) }, tokens, this.#reading(issuedAt), wish)
  }

  /**
   * A token for the app itself, and no user (RFC 6749 §4.4).
   *
   * @throws BackchannelError, AnswerError
   */
  async clientCredentials (wish: TokenWish, parameters: Readonly<Record<string, string>> | undefined, dispatcher: Dispatcher): Promise<AccessToken> {
    const { metadata } = this
    const issuedAt = this.#settings.clock()
    const tokens = await this.#ask({ dpopKey: await this.clientKey(), dispatcher },
      (options) => oauth.clientCredentialsGrantRequest(metadata, this.#client(), this.#settings.clientAuthentication, { ...parameters, ...asked(wish) }, options),
      (answer) => oauth.processClientCredentialsResponse(metadata, this.#client(), answer))
    return readAccessToken(tokens, this.#reading(issuedAt), wish)
  }

  /**
   * Exchanges the access token of a session for another one (RFC 8693), which is bound to the same key.
   *
   * @throws BackchannelError, AnswerError
   */
  async exchange ({ tokens: { dpopKey }, token }: Subject, parameters: URLSearchParams, dispatcher: Dispatcher): Promise<AccessToken> {
    const { metadata } = this
    const issuedAt = this.#settings.clock()
    const issued = await this.#ask({ dpopKey, dispatcher },
      (options) => oauth.genericTokenEndpointRequest(metadata, this.#client(), this.#settings.clientAuthentication, TOKEN_EXCHANGE,
        new URLSearchParams([...parameters, ['subject_token', token.accessToken]]), options),
      async (answer) => {
        const result = await oauth.processGenericTokenEndpointResponse(metadata, this.#client(), answer)
        if (typeof result.issued_token_type !== 'string') throw new Error('the issued_token_type is missing')
        return result
      })
    return readAccessToken(issued, this.#reading(issuedAt), asked(Object.fromEntries(parameters)))
  }

  /**
   * Revokes tokens one after the other (RFC 7009), all within the deadline of one call. A provider that has no revocation
   * endpoint, or revokes no access tokens, is no error: there is nothing to call.
   *
   * @throws BackchannelError, AnswerError for the first that fails; the others are not tried then.
   */
  async revoke (tokens: readonly Revocable[], dispatcher: Dispatcher): Promise<void> {
    const { metadata } = this
    if (metadata.revocation_endpoint === undefined) return
    const signal = AbortSignal.timeout(this.#settings.requestTimeout * 1000)
    for (const { token, hint } of tokens) {
      const response = await oauth.revocationRequest(metadata, this.#client(), this.#settings.clientAuthentication, token,
        { ...this.#over(dispatcher), signal, additionalParameters: { token_type_hint: hint } })
      try {
        await readAnswer(response)
      } catch (error) {
        if (hint === 'access_token' && error instanceof AnswerError && error.error === 'unsupported_token_type') return
        throw error
      }
    }
  }

  /**
   * A proof of possession for a request that somebody else sends (RFC 9449 §7).
   *
   * @throws FST_TOKEN_NO_DPOP_KEY, FST_TOKEN_INVALID_PARAMETERS
   */
  async proof (dpopKey: JsonWebKey | undefined, request: ProofRequest & { accessToken: string }): Promise<string> {
    if (dpopKey === undefined) throw new NoDpopKey('the access token is a Bearer token. Set the option dpop, and log in again or refresh')
    return await this.#dpop.proof(dpopKey, this.#client(), request)
  }

  /** The key of the client's own tokens; `undefined` without the option `dpop`. */
  async clientKey (): Promise<JsonWebKey | undefined> {
    this.#clientKey ??= this.#newDpopKey()
    return await this.#clientKey
  }

  /** How a token response is read that was requested at that time. */
  #reading (issuedAt: number) {
    const { defaultExpiresIn } = this.#settings
    return { issuedAt, ...(defaultExpiresIn !== undefined && { defaultExpiresIn }) }
  }

  /** The key of a new session; `undefined` without the option `dpop`. */
  async #newDpopKey (): Promise<JsonWebKey | undefined> {
    const { dpop } = this.#settings
    return dpop && await generateDpopKey(dpop.alg)
  }

  /** A request for tokens: with a key, every one carries a proof (R33), and only tokens bound to it are taken (R34). */
  async #ask ({ dpopKey, dispatcher }: Asking, send: (options: oauth.TokenEndpointRequestOptions) => Promise<Response>, process: Process): Promise<TokenResponse> {
    const options = await this.#options(dpopKey, dispatcher)
    return await askWithNonce(async () => await judgeTokenResponse(await send(options), process, dpopKey ? 'DPoP' : 'Bearer'))
  }

  async #options (dpopKey: JsonWebKey | undefined, dispatcher: Dispatcher) {
    return { ...this.#over(dispatcher), ...(dpopKey && { DPoP: await this.#dpop.handle(dpopKey, this.#client()) }) }
  }

  #client (): oauth.Client {
    const { clientId, clientAuthentication, clock } = this.#settings
    const machine = Date.now() / 1000
    return {
      client_id: clientId,
      use_mtls_endpoint_aliases: clientAuthentication.mutualTls !== undefined,
      // Rounded down: strict services refuse an assertion that comes from the future.
      [oauth.clockSkew]: Math.floor(clock() - machine),
      [oauth.clockTolerance]: CLOCK_TOLERANCE
    }
  }

  #over (dispatcher: Dispatcher) {
    return over(async (url, request) => {
      const response = await callBackchannel(dispatcher, this.#settings.requestTimeout, url, request)
      this.#dpop.keepNonce(new URL(url), response.headers.get('dpop-nonce'))
      return response
    })
  }
}

/** The parameters of a wish, where it has any. */
function asked ({ resource, scope }: TokenWish): Record<string, string> {
  return { ...(resource && { resource }), ...(scope && { scope }) }
}
