import * as oauth from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { NoDpopKey, ServiceBadResponse } from '../errors.ts'
import type { DpopAlgorithm } from '../options/schema.ts'
import type { Revocable } from '../tokens/revocation.ts'
import type { AccessToken, JsonWebKey, TokenSet } from '../tokens/token-set.ts'
import { firstTokenSet, nextTokenSet, readAccessToken, type TokenResponse } from '../tokens/from-response.ts'
import { readTokenAnswer, tokenProblem } from '../tokens/token-answer.ts'
import { askedFor, type TokenWish } from '../tokens/token-wish.ts'
import { checkDpopKey, generateDpopKey, type ProofRequest } from './dpop.ts'
import type { ProviderRequests, ProviderSettings } from './provider-requests.ts'
import { AnswerError } from './token-response.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export interface TokenServiceSettings extends Pick<ProviderSettings, 'requestTimeout'> {
  /** Bind tokens to a key of each session (RFC 9449). */
  readonly dpop?: { readonly alg: DpopAlgorithm } | undefined
}

/** What is exchanged, and the token set it is in. */
export interface Subject {
  readonly tokens: TokenSet
  readonly token: AccessToken
}

/** A method per grant. Every call goes over the dispatcher it is given, with one deadline. */
export class TokenService {
  readonly #requests: ProviderRequests
  readonly #settings: TokenServiceSettings
  /** The key of the client's own tokens, which live as long as this process. */
  #clientKey: Promise<JsonWebKey | undefined> | undefined

  constructor (requests: ProviderRequests, settings: TokenServiceSettings) {
    this.#requests = requests
    this.#settings = settings
  }

  get metadata (): oauth.AuthorizationServer {
    return this.#requests.server
  }

  /**
   * The session of a token response that the app got by itself.
   *
   * @throws FST_TOKEN_SERVICE_BAD_RESPONSE, FST_TOKEN_NO_DPOP_KEY
   */
  async adopt (given: TokenResponse, dpopKey: JsonWebKey | undefined, requested: TokenWish = {}): Promise<TokenSet> {
    const { answer, dropped } = readTokenAnswer(given)
    const { access_token: accessToken } = answer
    if (typeof accessToken !== 'string') throw new ServiceBadResponse('it has no access_token')
    const type = String(answer.token_type)
    if (type.toLowerCase() === 'dpop' && dpopKey === undefined) throw new NoDpopKey('the tokens are bound to one. Give it, as a private JSON Web Key: save(response, { dpopKey })')
    const expected = dpopKey ?? this.#settings.dpop ? 'DPoP' : 'Bearer'
    if (type.toLowerCase() !== expected.toLowerCase()) throw new ServiceBadResponse(`its token_type is not ${expected}`)
    const problem = tokenProblem(answer)
    if (problem !== undefined) throw new ServiceBadResponse(problem)
    if (dpopKey !== undefined) await checkDpopKey(dpopKey)
    this.#requests.notices.dropped(dropped)
    return firstTokenSet({ ...answer, access_token: accessToken, token_type: type }, { ...this.#requests.reading(), requested, dpopKey })
  }

  /**
   * Spends the refresh token of a session (RFC 6749 §6), and gives the successor of its token set. A session keeps the key
   * that it has; one from before the option `dpop` has none, and stays a Bearer session until its next login.
   *
   * @throws BackchannelError, AnswerError
   */
  async refresh (previous: TokenSet & { refreshToken: string }, wish: TokenWish, dispatcher: Dispatcher): Promise<TokenSet> {
    const { dpopKey, identity, refreshToken } = previous
    if (this.#settings.dpop && !dpopKey) this.#requests.notices.once('dpop', {}, 'A session from before the option dpop is refreshed without a proof: its tokens are Bearer tokens until its next login')
    const [response, reading] = await this.#requests.tokens({ dpopKey, dispatcher },
      (parties, options) => oauth.refreshTokenGrantRequest(...parties, refreshToken, { ...options, additionalParameters: askedFor(wish) }),
      oauth.processRefreshTokenResponse, { idToken: 'byProduct', identity, checkSignature: this.#requests.signatures.ofByProducts(dispatcher) })
    return nextTokenSet(previous, response, reading, wish)
  }

  /**
   * A token for the app itself, and no user (RFC 6749 §4.4).
   *
   * @throws BackchannelError, AnswerError
   */
  async clientCredentials (wish: TokenWish, parameters: Readonly<Record<string, string>> | undefined, dispatcher: Dispatcher): Promise<AccessToken> {
    const [response, reading] = await this.#requests.tokens({ dpopKey: await this.clientKey(), dispatcher },
      (parties, options) => oauth.clientCredentialsGrantRequest(...parties, { ...parameters, ...askedFor(wish) }, options),
      oauth.processClientCredentialsResponse, { idToken: 'byProduct' })
    return readAccessToken(response, reading, wish)
  }

  /**
   * Exchanges the access token of a session for another one (RFC 8693), which is bound to the same key.
   *
   * @throws BackchannelError, AnswerError
   */
  async exchange ({ tokens: { dpopKey }, token }: Subject, parameters: URLSearchParams, dispatcher: Dispatcher): Promise<AccessToken> {
    const subject = new URLSearchParams([...parameters, ['subject_token', token.accessToken]])
    const [response, reading] = await this.#requests.tokens({ dpopKey, dispatcher },
      (parties, options) => oauth.genericTokenEndpointRequest(...parties, TOKEN_EXCHANGE, subject, options),
      async (server, client, answer) => {
        const result = await oauth.processGenericTokenEndpointResponse(server, client, answer)
        if (typeof result.issued_token_type !== 'string') throw new Error('the issued_token_type is missing')
        return result
      }, { idToken: 'byProduct' })
    return readAccessToken(response, reading, askedFor(Object.fromEntries(parameters)))
  }

  /**
   * Revokes tokens one after the other (RFC 7009), all within the deadline of one call. A provider that has no revocation
   * endpoint, or revokes no access tokens, is no error: there is nothing to call.
   *
   * @throws BackchannelError, AnswerError for the first that fails; the others are not tried then.
   */
  async revoke (tokens: readonly Revocable[], dispatcher: Dispatcher): Promise<void> {
    if (this.metadata.revocation_endpoint === undefined) return
    const signal = AbortSignal.timeout(Math.ceil(this.#settings.requestTimeout * 1000))
    for (const { token, hint } of tokens) {
      try {
        await this.#requests.ask({ dispatcher },
          (parties, options) => oauth.revocationRequest(...parties, token, { ...options, signal, additionalParameters: { token_type_hint: hint } }),
          async () => undefined)
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
    if (dpopKey === undefined) throw new NoDpopKey('the access token is a Bearer token. Set the option dpop, and log in again')
    return await this.#requests.proof(dpopKey, request)
  }

  /** What an API has said in `DPoP-Nonce` (RFC 9449 §8.2): the next proof for it holds that. */
  keepNonce (origin: URL, nonce: string): void {
    this.#requests.keepNonce(origin, nonce)
  }

  /** The key of the client's own tokens; `undefined` without the option `dpop`. */
  async clientKey (): Promise<JsonWebKey | undefined> {
    this.#clientKey ??= this.#newDpopKey()
    return await this.#clientKey
  }

  /** The key of a new session; `undefined` without the option `dpop`. */
  async #newDpopKey (): Promise<JsonWebKey | undefined> {
    const { dpop } = this.#settings
    return dpop && await generateDpopKey(dpop.alg)
  }
}
