import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isNobody, UnknownProvider } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { SessionAccess, type TokenRequest } from './session-tokens.ts'
import type { ProofRequest } from '../token-service/dpop.ts'
import type { TokenExchange } from '../tokens/token-exchange.ts'
import type { JsonWebKey, TokenResponse, TokenSet } from '../tokens/token-set.ts'

/** Whose tokens, and which. */
export interface TokenParameters extends TokenRequest {
  /** The `name` of a registration; default: the first. */
  readonly provider?: string
  /** Passed through to the token store. */
  readonly context?: unknown
}

/** Which access token `request.accessToken()` gives. */
export interface AccessTokenParameters extends TokenParameters {
  /**
   * A token that the token service issues in exchange for the session's own (RFC 8693): to call an API on behalf of the
   * user that wants a token of its own. `resource` and `scope` beside it say which token of the session is exchanged;
   * `forceRenewal` is about the token that is issued.
   */
  readonly exchange?: TokenExchange
}

/** Which session is meant. */
export type SessionParameters = Pick<TokenParameters, 'provider' | 'context'>

/** Of which session these are the tokens. */
export interface SaveParameters extends SessionParameters {
  /** The private key that the tokens are bound to, where their `token_type` is DPoP. */
  readonly dpopKey?: JsonWebKey
}

/** What a proof is for, and whose. */
export interface DpopProofParameters extends ProofRequest, Omit<TokenParameters, 'forceRenewal'> {}

/** What `@fastify/oauth2` returns: its RFC 6749 response is in `token`. */
export interface OAuth2Token {
  readonly token: TokenResponse
}

/** The tokens of the current session: `request.tokens`. */
export interface Tokens {
  /**
   * The token set, refreshed if it is time; `null` where nobody is logged in.
   *
   * @throws what `request.accessToken()` throws, but FST_TOKEN_UNAUTHENTICATED and FST_TOKEN_LOGIN_REQUIRED.
   */
  get (parameters?: TokenParameters): Promise<TokenSet | null>
  /**
   * Starts a session with tokens that the app got by itself.
   *
   * @param response - an RFC 6749 token response, or what @fastify/oauth2 returns.
   * @throws FST_TOKEN_SERVICE_BAD_RESPONSE, FST_TOKEN_NO_DPOP_KEY, FST_TOKEN_SESSION_TOO_LARGE, FST_TOKEN_STORE_FAILED, FST_TOKEN_HEADERS_SENT
   * @example
   * const { token } = await app.github.getAccessTokenFromAuthorizationCodeFlow(request)
   * await request.tokens.save(token)
   */
  save (response: TokenResponse | OAuth2Token, parameters?: SaveParameters): Promise<TokenSet>
  /**
   * A proof that this app holds the key that the access token is bound to (DPoP, RFC 9449 §7.1): the value of the header
   * `DPoP` of a request to an API, once. The token itself goes into `Authorization: DPoP <token>`.
   *
   * @throws what `request.accessToken()` throws; FST_TOKEN_NO_DPOP_KEY for a session of Bearer tokens; FST_TOKEN_INVALID_PARAMETERS
   * @example
   * const accessToken = await request.accessToken()
   * const dpop = await request.tokens.dpopProof({ htm: 'GET', htu: url, accessToken })
   * await fetch(url, { headers: { authorization: `DPoP ${accessToken}`, dpop } })
   */
  dpopProof (parameters: DpopProofParameters): Promise<string>
  /** Ends the session here; the provider is not told. A refresh in flight does not bring it back. */
  clear (parameters?: SessionParameters): Promise<void>
  /**
   * Revokes the newest refresh token of the session and then its access tokens at the provider (RFC 7009), as well as that
   * goes within `requestTimeout`, and ends the session here.
   */
  revoke (parameters?: SessionParameters): Promise<void>
}

/** All that one request does with tokens. There is one a request, so that a request reads its own writes. */
export class Accessor implements Tokens {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #providers: ReadonlyMap<string, Provider>
  readonly #sessions = new Map<string, Array<{ context: unknown, session: SessionAccess }>>()

  constructor (request: FastifyRequest, reply: FastifyReply, providers: ReadonlyMap<string, Provider>) {
    this.#request = request
    this.#reply = reply
    this.#providers = providers
  }

  async accessToken ({ exchange, ...parameters }: AccessTokenParameters = {}): Promise<string> {
    const session = this.session(parameters)
    const token = exchange === undefined ? (await session.current(parameters)).token : await session.exchanged(exchange, parameters)
    return token.accessToken
  }

  /** Whether it is worth to read the session before anybody asks for a token. */
  isDue (parameters: TokenParameters = {}): boolean {
    const { provider } = parameters
    return (provider !== undefined && !this.#providers.has(provider)) || this.session(parameters).isDue(parameters)
  }

  async get (parameters: TokenParameters = {}): Promise<TokenSet | null> {
    try {
      const { tokens } = await this.session(parameters).current(parameters)
      return tokens
    } catch (error) {
      if (isNobody(error)) return null
      throw error
    }
  }

  async save (response: TokenResponse | OAuth2Token, { dpopKey, ...parameters }: SaveParameters = {}): Promise<TokenSet> {
    return await this.session(parameters).save('token' in response ? response.token : response, dpopKey)
  }

  async dpopProof ({ htm, htu, accessToken, nonce, ...parameters }: DpopProofParameters): Promise<string> {
    return await this.session(parameters).dpopProof({ htm, htu, nonce, ...(accessToken !== undefined && { accessToken }) }, parameters)
  }

  async clear (parameters: SessionParameters = {}): Promise<void> {
    await this.session(parameters).clear()
  }

  async revoke (parameters: SessionParameters = {}): Promise<void> {
    await this.session(parameters).revoke()
  }

  /** As the response is sent. */
  async beforeSend (): Promise<void> {
    for (const provider of this.#providers.values()) {
      const context = { request: this.#request, reply: this.#reply, provider: provider.name }
      if (provider.storeFor(this.#request.server).endedByApp?.(context)) this.session(context)
    }
    for (const sessions of this.#sessions.values()) {
      for (const { session } of sessions) await session.beforeSend()
    }
  }

  session ({ provider: name, context }: SessionParameters): SessionAccess {
    const provider = name === undefined ? this.#providers.values().next().value : this.#providers.get(name)
    if (provider === undefined) throw new UnknownProvider(name ?? 'default', [...this.#providers.keys()].join(', '))
    const sessions = this.#sessions.get(provider.name) ?? []
    this.#sessions.set(provider.name, sessions)
    const known = sessions.find((entry) => entry.context === context || entry.session.ignoresContext)
    if (known !== undefined) return known.session
    const session = new SessionAccess(provider, { request: this.#request, reply: this.#reply, provider: provider.name, context })
    sessions.push({ context, session })
    return session
  }
}

const kAccessor = Symbol('fastify-token-management.accessor')

/** Gives every request of an instance its accessor. */
export function decorateRequests (fastify: FastifyInstance, providers: ReadonlyMap<string, Provider>): void {
  fastify.decorateRequest(kAccessor, null)
  fastify.addHook('onRequest', (request, reply, done) => {
    request.setDecorator(kAccessor, new Accessor(request, reply, providers))
    done()
  })
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    const accessor = request.getDecorator<Accessor | null>(kAccessor)
    if (accessor === null) return done(null, payload)
    accessor.beforeSend().then(() => done(null, payload), done)
  })
  fastify.decorateRequest('tokens', { getter () { return accessorOf(this) } })
  fastify.decorateRequest('accessToken', accessToken)
}

/** The accessor of a request; the hooks of an app that want one run after the plugin's own. */
export function accessorOf (request: FastifyRequest): Accessor {
  const accessor = request.getDecorator<Accessor | null>(kAccessor)
  if (accessor === null) throw new Error('The tokens are asked for too early: register fastify-token-management before the hook that does')
  return accessor
}

async function accessToken (this: FastifyRequest, parameters?: AccessTokenParameters & { optional?: false }): Promise<string>
async function accessToken (this: FastifyRequest, parameters: AccessTokenParameters & { optional?: boolean }): Promise<string | null>
async function accessToken (this: FastifyRequest, { optional = false, ...parameters }: AccessTokenParameters & { optional?: boolean } = {}): Promise<string | null> {
  try {
    return await accessorOf(this).accessToken(parameters)
  } catch (error) {
    if (optional && isNobody(error)) return null
    throw error
  }
}
