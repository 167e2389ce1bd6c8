import type { FastifyBaseLogger } from 'fastify'
import * as oauth from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import type { JsonWebKey } from '../tokens/token-set.ts'
import type { Options } from '../options/schema.ts'
import type { Reading, TokenResponse } from '../tokens/from-response.ts'
import { outgoingRequest } from '../tokens/outgoing-request.ts'
import { type BackchannelRequest, callBackchannel } from './backchannel.ts'
import { boundedAuthentication } from './bounded-authentication.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { over } from './discovery.ts'
import { Dpop, type ProofRequest } from './dpop.ts'
import { type Expected, judgeTokens, type Success } from './judge.ts'
import { mendedAnswer } from './mended-answer.ts'
import type { Metadata } from './metadata.ts'
import { Notices } from './notices.ts'
import { type Preparation, preparedAuthentication } from './prepared-authentication.ts'
import { secretsOf } from './secrets.ts'
import { Signatures } from './signatures.ts'
import { serverOfTenant } from './tenants.ts'
import { readAnswer } from './token-response.ts'

export interface ProviderSettings extends Preparation {
  readonly metadata: Metadata
  readonly clientId: string
  readonly clientAuthentication: ClientAuthentication
  /** Seconds. */
  readonly requestTimeout: number
  /** Seconds that the clocks of the provider and of this machine may differ when an id_token is checked. */
  readonly clockTolerance: number
  readonly defaultExpiresIn?: number | undefined
  readonly tokenResponse?: Options['tokenResponse']
  readonly login?: { readonly verifySignature: boolean } | undefined
  /** Which claims of id_tokens are kept. */
  readonly session?: { readonly claims: readonly string[] } | undefined
  readonly clock: () => number
  readonly log: Pick<FastifyBaseLogger, 'warn'>
}

/** By what means a request is sent. */
export interface Means {
  readonly dispatcher: Dispatcher
  /** With a key, the request carries a proof of it (RFC 9449 §5). */
  readonly dpopKey?: JsonWebKey | undefined
}

/** What every request of oauth4webapi wants first: the server, the client, and how that authenticates. */
export type Parties = readonly [server: oauth.AuthorizationServer, client: oauth.Client, authentication: ClientAuthentication]

/** An answer, with what is known besides of the call that has brought it. */
type Answered = Success & { readonly headers: Headers, /** When the request left. */ readonly sentAt: number }
type Send = (parties: Parties, options: ReturnType<typeof over> & { readonly DPoP?: oauth.DPoPHandle }) => Promise<Response>
type Process = (server: oauth.AuthorizationServer, client: oauth.Client, answer: Response) => Promise<oauth.TokenEndpointResponse>

/** The requests of one client to its provider: who takes part, by which means they go, and what of an answer is taken. */
export class ProviderRequests {
  readonly #settings: ProviderSettings
  readonly notices: Notices
  readonly signatures: Signatures
  readonly #authentication: ClientAuthentication
  readonly #dpop = new Dpop()
  #grants = 0

  constructor (settings: ProviderSettings) {
    const { clientAuthentication, requestTimeout } = settings
    this.#settings = settings
    this.notices = new Notices(settings.log, settings.clientId)
    this.signatures = new Signatures(settings)
    this.#authentication = boundedAuthentication(preparedAuthentication(clientAuthentication, settings), requestTimeout)
  }

  get server (): oauth.AuthorizationServer {
    return this.#settings.metadata()
  }

  /** How many tokens the provider has given this client so far. */
  get grants (): number {
    return this.#grants
  }

  get tokenEndpoint (): string {
    const { token_endpoint: endpoint, mtls_endpoint_aliases: aliases } = this.server
    return String((this.#authentication.mutualTls && aliases?.token_endpoint) ?? endpoint)
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
  async tokens (means: Means, send: Send, process: Process, expected: Omit<Expected, 'tokenType'>): Promise<[TokenResponse, Reading]> {
    const { server, client } = this
    const tokenType = means.dpopKey ? 'DPoP' : 'Bearer'
    return await this.ask(means, send, async (success) => {
      const { response, dropped } = await judgeTokens(success, async (answer) => await process(await serverOfTenant(server, answer), client, answer), { ...expected, tokenType })
      this.notices.dropped(dropped)
      this.#grants++
      const answeredAt = Date.parse(success.headers.get('date') ?? '') / 1000
      return [response, { ...this.reading(), issuedAt: success.sentAt, ...(Number.isFinite(answeredAt) && { answeredAt }) }]
    })
  }

  /**
   * Asks for anything; with a proof, again where the server wants its nonce in that (RFC 9449 §8).
   *
   * @param hook - `null` where the app's own has no part in it.
   */
  async ask<Result> ({ dpopKey, dispatcher }: Means, send: Send, judge: (success: Answered) => Promise<Result>, hook: Options['tokenResponse'] | null = this.#settings.tokenResponse): Promise<Result> {
    const { server, client } = this
    const { requestTimeout, clock } = this.#settings
    let sentAt = clock()
    let sent: BackchannelRequest = { method: 'POST', headers: {} }
    let nonce: string | null = null
    const options = {
      ...over(async (url, request) => {
        sent = request
        const response = await callBackchannel(dispatcher, requestTimeout, url, { ...request, onSent: () => { sentAt = clock() } })
        nonce = response.headers.get('dpop-nonce')
        this.#dpop.keepNonce(new URL(url), nonce)
        return response
      }),
      ...(dpopKey && { DPoP: await this.#dpop.handle(dpopKey, client) })
    }
    const once = async () => {
      const response = await send([server, client, this.#authentication], options)
      const answer = await mendedAnswer(response, outgoingRequest(server, client, new URLSearchParams(String(sent.body ?? ''))), hook ?? undefined, requestTimeout)
      return await judge({ ...answer, sentAt, body: readAnswer(answer, secretsOf(sent)) })
    }
    return await (dpopKey ? this.#dpop.askWithNonce(once, () => nonce, requestTimeout) : once())
  }

  /**
   * A proof of possession for a request that somebody else sends (RFC 9449 §7).
   *
   * @throws FST_TOKEN_INVALID_PARAMETERS
   */
  async proof (dpopKey: JsonWebKey, request: ProofRequest & { accessToken: string }): Promise<string> {
    return await this.#dpop.proof(dpopKey, this.client, request)
  }

  keepNonce (origin: URL, nonce: string): void {
    this.#dpop.keepNonce(origin, nonce)
  }

  /** How tokens are read that are issued now. */
  reading (): Reading {
    const { clock, defaultExpiresIn, session } = this.#settings
    return { issuedAt: clock(), ...session && { claims: session.claims }, ...(defaultExpiresIn !== undefined && { defaultExpiresIn }) }
  }
}
