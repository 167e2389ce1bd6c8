import * as oauth from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import type { JsonWebKey } from '../tokens/token-set.ts'
import type { Reading, TokenResponse } from '../tokens/from-response.ts'
import { callBackchannel } from './backchannel.ts'
import { boundedAuthentication } from './bounded-authentication.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { askWithNonce, Dpop, type ProofRequest } from './dpop.ts'
import { over } from './discovery.ts'
import type { Metadata } from './metadata.ts'
import { type Preparation, preparedAuthentication } from './prepared-authentication.ts'
import { serverOfTenant } from './tenants.ts'
import { judgeTokenResponse } from './token-response.ts'

/** Seconds. */
const PROBE_TIMEOUT = 1

export interface ProviderSettings extends Preparation {
  readonly metadata: Metadata
  readonly clientId: string
  readonly clientAuthentication: ClientAuthentication
  /** Seconds. */
  readonly requestTimeout: number
  /** Seconds that the clocks of the provider and of this machine may differ when an id_token is checked. */
  readonly clockTolerance: number
  readonly defaultExpiresIn?: number | undefined
  readonly clock: () => number
}

/** By what means a request is sent. */
export interface Means {
  readonly dispatcher: Dispatcher
  /** With a key, the request carries a proof of it (RFC 9449 §5). */
  readonly dpopKey?: JsonWebKey | undefined
}

/** What every request of oauth4webapi wants first: the server, the client, and how that authenticates. */
export type Parties = readonly [server: oauth.AuthorizationServer, client: oauth.Client, authentication: ClientAuthentication]

type Send = (parties: Parties, options: oauth.TokenEndpointRequestOptions) => Promise<Response>
type Process = (server: oauth.AuthorizationServer, client: oauth.Client, answer: Response) => Promise<oauth.TokenEndpointResponse>

/** The requests of one client to its provider: who takes part, by which means they go, and what of an answer is taken. */
export class ProviderRequests {
  readonly #settings: ProviderSettings
  readonly #authentication: ClientAuthentication
  readonly #dpop = new Dpop()

  constructor (settings: ProviderSettings) {
    const { clientAuthentication, requestTimeout } = settings
    this.#settings = settings
    this.#authentication = boundedAuthentication(preparedAuthentication(clientAuthentication, settings), requestTimeout)
  }

  get server (): oauth.AuthorizationServer {
    return this.#settings.metadata()
  }

  get tokenEndpoint (): string {
    const { token_endpoint: endpoint, mtls_endpoint_aliases: aliases } = this.server
    return String((this.#authentication.mutualTls && aliases?.token_endpoint) ?? endpoint)
  }

  /** Whether the token endpoint answers at all: by a GET without parameters or credentials, which spends nothing. */
  async probe (dispatcher: Dispatcher): Promise<boolean> {
    try {
      const { status } = await callBackchannel(dispatcher, PROBE_TIMEOUT, this.tokenEndpoint, { method: 'GET', headers: { accept: 'application/json' } })
      return status < 500
    } catch {
      return false
    }
  }

  get client (): oauth.Client {
    const { clientId, clock, clockTolerance } = this.#settings
    const machine = Date.now() / 1000
    return {
      client_id: clientId,
      use_mtls_endpoint_aliases: this.#authentication.mutualTls !== undefined,
      // Rounded down: strict services refuse an assertion that comes from the future.
      [oauth.clockSkew]: Math.floor(clock() - machine),
      [oauth.clockTolerance]: clockTolerance
    }
  }

  /**
   * Asks for tokens, and takes only those that are bound to the key of the request, or to none where it had none (RFC 9449 §5).
   *
   * @throws BackchannelError, AnswerError
   */
  async tokens (means: Means, send: Send, process: Process): Promise<[TokenResponse, Reading]> {
    const reading = this.reading()
    const { server, client } = this
    const response = await this.ask(means, async (parties, options) =>
      await judgeTokenResponse(await send(parties, options), async (answer) => await process(await serverOfTenant(server, answer), client, answer), means.dpopKey ? 'DPoP' : 'Bearer'))
    return [response, reading]
  }

  /** Asks for anything; with a proof, once more where the server wants its nonce in that (RFC 9449 §8). */
  async ask<Result> ({ dpopKey, dispatcher }: Means, ask: (parties: Parties, options: oauth.TokenEndpointRequestOptions) => Promise<Result>): Promise<Result> {
    const { server, client } = this
    const options = { ...this.#over(dispatcher), ...(dpopKey && { DPoP: await this.#dpop.handle(dpopKey, client) }) }
    const once = async () => await ask([server, client, this.#authentication], options)
    return await (dpopKey ? askWithNonce(once) : once())
  }

  /**
   * A proof of possession for a request that somebody else sends (RFC 9449 §7).
   *
   * @throws FST_TOKEN_INVALID_PARAMETERS
   */
  async proof (dpopKey: JsonWebKey, request: ProofRequest & { accessToken: string }): Promise<string> {
    return await this.#dpop.proof(dpopKey, this.client, request)
  }

  /** How an answer is read that is asked for now. */
  reading (): Reading {
    const { clock, defaultExpiresIn } = this.#settings
    return { issuedAt: clock(), ...(defaultExpiresIn !== undefined && { defaultExpiresIn }) }
  }

  #over (dispatcher: Dispatcher) {
    return over(async (url, request) => {
      const response = await callBackchannel(dispatcher, this.#settings.requestTimeout, url, request)
      this.#dpop.keepNonce(new URL(url), response.headers.get('dpop-nonce'))
      return response
    })
  }
}
