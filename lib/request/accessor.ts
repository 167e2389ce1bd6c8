import type { FastifyReply, FastifyRequest, TokenClaims } from 'fastify'
import { isNobody } from '../errors.ts'
import { type Provider, providerNamed } from '../provider.ts'
import { RequestPlace } from '../stores/session-place.ts'
import type { TokenResponse } from '../tokens/from-response.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { SessionTokens } from './session-tokens.ts'
import type { AccessTokenParameters, DpopProofParameters, OAuth2Token, SaveParameters, SessionParameters, TokenParameters, Tokens } from './tokens.ts'

/** All that one request does with tokens. There is one a request, so that a request reads its own writes. */
export class Accessor implements Tokens {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #providers: ReadonlyMap<string, Provider>
  readonly #sessions = new Map<string, Array<{ context: unknown, session: SessionTokens }>>()

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

  async claims (parameters: SessionParameters = {}): Promise<TokenClaims | null> {
    return await this.session(parameters).claims()
  }

  async save (response: TokenResponse | OAuth2Token, { dpopKey, ...parameters }: SaveParameters = {}): Promise<TokenSet> {
    return await this.session(parameters).save(typeof response === 'object' && response !== null && 'token' in response ? response.token : response, dpopKey ?? undefined)
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

  /** @throws FST_TOKEN_UNKNOWN_PROVIDER */
  provider (name: string | undefined): Provider {
    return providerNamed(this.#providers, name)
  }

  session ({ provider: name, context }: SessionParameters): SessionTokens {
    const provider = this.provider(name)
    const sessions = this.#sessions.get(provider.name) ?? []
    this.#sessions.set(provider.name, sessions)
    const known = sessions.find((entry) => entry.context === context || entry.session.ignoresContext)
    if (known !== undefined) return known.session
    const store = provider.storeFor(this.#request.server)
    const session = new SessionTokens(provider, new RequestPlace(store, { request: this.#request, reply: this.#reply, provider: provider.name, context }))
    sessions.push({ context, session })
    return session
  }
}
