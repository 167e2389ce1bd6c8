import type { FastifyReply, FastifyRequest, TokenClaims } from 'fastify'
import { isNobody } from '../errors.ts'
import { type Provider, providerNamed } from '../provider.ts'
import { RequestContext } from '../stores/request-context.ts'
import { RequestPlace } from '../stores/session-place.ts'
import type { TokenResponse } from '../tokens/from-response.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { SessionTokens } from './session-tokens.ts'
import type { AccessTokenParameters, DpopProofParameters, OAuth2Token, SaveParameters, SessionParameters, TokenParameters, Tokens } from './tokens.ts'

/** A session that a request has asked for, and the one before it: most ask for one, which takes no list. */
class AskedSession {
  readonly provider: Provider
  readonly context: unknown
  readonly session: SessionTokens
  readonly earlier: AskedSession | undefined

  constructor (provider: Provider, context: unknown, session: SessionTokens, earlier: AskedSession | undefined) {
    this.provider = provider
    this.context = context
    this.session = session
    this.earlier = earlier
  }
}

/** All that one request does with tokens. There is one a request, so that a request reads its own writes. */
export class Accessor implements Tokens {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #providers: ReadonlyMap<string, Provider>
  #asked: AskedSession | undefined

  constructor (request: FastifyRequest, reply: FastifyReply, providers: ReadonlyMap<string, Provider>) {
    this.#request = request
    this.#reply = reply
    this.#providers = providers
  }

  /** The access token, where nobody is to be waited for. */
  atHand (parameters: AccessTokenParameters = {}): string | undefined {
    return parameters.exchange === undefined ? this.session(parameters).atHand(parameters)?.accessToken : undefined
  }

  async accessToken ({ exchange, ...parameters }: AccessTokenParameters = {}): Promise<string> {
    const session = this.session(parameters)
    const token = exchange === undefined ? (await session.current(parameters)).token : await session.exchanged(exchange, parameters)
    return token.accessToken
  }

  /** Whether it is worth to read the session before anybody asks for a token: not as long as its store can tell that nothing is to be done. */
  isDue ({ provider: name, resource, scope, context }: TokenParameters = {}): boolean {
    const provider = name === undefined ? providerNamed(this.#providers, name) : this.#providers.get(name)
    if (provider === undefined || resource !== undefined || scope !== undefined) return true
    const dueAt = provider.storeFor(this.#request.server).dueAt?.(new RequestContext(this.#request, this.#reply, provider.name, context))
    return dueAt === undefined || !(provider.clock() < dueAt)
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

  async save (response: TokenResponse | OAuth2Token, { dpopKey, resource, ...parameters }: SaveParameters = {}): Promise<TokenSet> {
    return await this.session(parameters).save(typeof response === 'object' && response !== null && 'token' in response ? response.token : response, dpopKey ?? undefined, resource)
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

  /** As the response is sent; `undefined` where nothing is left to be done. */
  beforeSend (): Promise<void> | undefined {
    for (const provider of this.#providers.values()) {
      const store = provider.storeFor(this.#request.server)
      if (store.endedByApp?.(new RequestContext(this.#request, this.#reply, provider.name, undefined))) this.session({ provider: provider.name })
    }
    for (let asked = this.#asked; asked !== undefined; asked = asked.earlier) {
      if (!asked.session.state.isSettled) return this.#settle()
    }
    return undefined
  }

  async #settle (): Promise<void> {
    for (let asked = this.#asked; asked !== undefined; asked = asked.earlier) await asked.session.state.beforeSend()
  }

  /** @throws FST_TOKEN_UNKNOWN_PROVIDER */
  provider (name: string | undefined): Provider {
    return providerNamed(this.#providers, name)
  }

  session ({ provider: name, context }: SessionParameters): SessionTokens {
    const provider = this.provider(name)
    for (let asked = this.#asked; asked !== undefined; asked = asked.earlier) {
      if (asked.provider === provider && (asked.context === context || asked.session.ignoresContext)) return asked.session
    }
    const store = provider.storeFor(this.#request.server)
    const session = new SessionTokens(provider, new RequestPlace(store, new RequestContext(this.#request, this.#reply, provider.name, context)))
    this.#asked = new AskedSession(provider, context, session, this.#asked)
    return session
  }
}
