import type { FastifyInstance } from 'fastify'
import type { Dispatcher } from 'undici'
import type { Registration } from '../diagnostics.ts'
import { UnknownClient } from '../errors.ts'
import type { Asking } from '../refresh/asking.ts'
import { classifyFailure, errorOf, withoutUser } from '../refresh/failure.ts'
import { clientTokenTracing } from './client-token-message.ts'
import type { TokenCache } from './token-cache.ts'
import type { ProofRequest } from '../token-service/dpop.ts'
import type { TokenService } from '../token-service/token-service.ts'
import type { AccessToken } from '../tokens/token-set.ts'
import { readWish, type TokenWish } from '../tokens/token-wish.ts'

/** Which token of a client. */
export interface ClientTokenParameters extends TokenWish {
  /** `true` for a new token in any case; the token that an API rejected for a new one only if it is still the current one. */
  readonly forceRenewal?: boolean | string
}

/** What a proof is for, and with which token of a client. */
export interface ClientDpopProofParameters extends ProofRequest, TokenWish {}

/** A client of the option `clients`: who it is, and what it asks for. */
export interface ClientSettings {
  readonly name: string
  readonly registration: Registration
  readonly wish: TokenWish
  readonly parameters: Readonly<Record<string, string>> | undefined
  readonly tokenService: TokenService
  readonly asking: Asking
  readonly cache: TokenCache
  /** The HTTP client in force for an instance. */
  readonly backchannelFor: (server: FastifyInstance) => Dispatcher
}

/** The tokens of one client: for the app itself and no user, by the client credentials grant (RFC 6749 §4.4). */
export class ClientTokens {
  readonly #settings: ClientSettings

  constructor (settings: ClientSettings) {
    this.#settings = settings
  }

  /** @throws what `accessToken()` throws, FST_TOKEN_NO_DPOP_KEY, FST_TOKEN_INVALID_PARAMETERS */
  async dpopProof ({ htm, htu, accessToken, nonce, ...wish }: ClientDpopProofParameters, server: FastifyInstance): Promise<string> {
    const { tokenService } = this.#settings
    return await tokenService.proof(await tokenService.clientKey(), { htm, htu, nonce, accessToken: accessToken ?? await this.accessToken(wish, server) })
  }

  /** What an API has said in `DPoP-Nonce`. */
  keepNonce (origin: URL, nonce: string): void {
    this.#settings.tokenService.keepNonce(origin, nonce)
  }

  async accessToken (parameters: ClientTokenParameters, server: FastifyInstance): Promise<string> {
    return (await this.token(parameters, server)).accessToken
  }

  async token ({ forceRenewal, ...asked }: ClientTokenParameters, server: FastifyInstance): Promise<AccessToken> {
    const { name: client, registration, parameters, tokenService, asking, cache, backchannelFor } = this.#settings
    const wish = { ...this.#settings.wish, ...readWish(asked) }
    const key = JSON.stringify([client, wish.resource, wish.scope])
    try {
      return await cache.obtain(key, forceRenewal, {
        trace: (work) => clientTokenTracing.trace({ ...registration, client, ...wish }, work),
        ask: () => asking.ask({
          key,
          dispatcher: backchannelFor(server),
          send: (wary) => tokenService.clientCredentials(wish, parameters, wary),
          retryAmbiguous: true,
          risksNothing: true
        })
      })
    } catch (error) {
      throw errorOf(withoutUser(classifyFailure(error)))
    }
  }
}

/** Gives an instance `clientAccessToken` and `clientDpopProof`. */
export function decorateClients (fastify: FastifyInstance, clients: ReadonlyMap<string, ClientTokens>): void {
  fastify.decorate('clientAccessToken', async function (name, parameters = {}) {
    return await clientOf(name).accessToken(parameters, this)
  })
  fastify.decorate('clientDpopProof', async function (name, parameters) {
    return await clientOf(name).dpopProof(parameters, this)
  })

  function clientOf (name: string): ClientTokens {
    const client = clients.get(name)
    if (client === undefined) throw new UnknownClient(name, [...clients.keys()].join(', ') || 'none')
    return client
  }
}
