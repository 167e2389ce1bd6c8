import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { JWK } from 'jose'
import { send } from './answer.ts'
import { Codes } from './codes.ts'
import { exchange, type Stations } from './exchange.ts'
import { Families, type Family } from './families.ts'
import { FaultQueue, type Fault } from './fault-queue.ts'
import { Gates, type Gate, type HoldOptions } from './gate.ts'
import { Listener } from './listener.ts'
import { OAuthError } from './oauth-error.ts'
import { Proofs } from './proofs.ts'
import { PushedRequests } from './pushed-requests.ts'
import type { Realm } from './realm.ts'
import { RequestLog, type Endpoint, type RequestRecord } from './request-log.ts'
import { sessionKey } from './session-key.ts'
import { settingsFrom, type Settings } from './settings.ts'
import { createSigner, type Signer } from './signer.ts'
import { tokenResponse, type TokenResponse } from './token-response.ts'

/** Starts a strict authorization server on a free port of loopback. */
export async function startAuthorizationServer (settings: Partial<Settings> = {}): Promise<AuthorizationServer> {
  const merged = settingsFrom(settings)
  const families = new Families(merged)
  const codes = new Codes(families, () => merged.now())
  const proofs = new Proofs(merged)
  const pushed = new PushedRequests(() => merged.now())
  const server = new AuthorizationServer({ issuer: '', settings: merged, families, codes, proofs, pushed, signer: await createSigner(), usedAssertions: new Set() })
  await server.acceptConnections()
  return server
}

export interface IssueOptions { sub?: string, scope?: string, resource?: string, expiresIn?: number, nonce?: string }

/** What a login would have brought: with DPoP, the tokens are bound to the key. */
export type Issued = TokenResponse & { refresh_token: string, dpopKey?: JWK }

export class AuthorizationServer {
  readonly #keys: string[] = []
  readonly #realm: Realm
  readonly #log = new RequestLog()
  readonly #gates = new Gates()
  readonly #faults = new FaultQueue()
  readonly #closing = new AbortController()
  readonly #stations: Stations
  readonly #listener: Listener
  readonly #tlsListener: Listener | undefined

  constructor (realm: Realm) {
    this.#realm = realm
    this.#stations = { realm, log: this.#log, gates: this.#gates, faults: this.#faults, closing: this.#closing.signal }
    const handle: RequestListener = (request, response) => { this.#serve(request, response) }
    this.#listener = new Listener(handle)
    this.#tlsListener = realm.settings.tls ? new Listener(handle, realm.settings.tls) : undefined
  }

  get issuer (): string { return this.#realm.issuer }
  /** Where it listens with TLS, and asks for certificates; '' where it does not. */
  get mtlsOrigin (): string { return this.#realm.mtlsOrigin ?? '' }
  /** May be changed at any time. */
  get settings (): Settings { return this.#realm.settings }

  /** Starts a session without a browser: the tokens as a login would have got them. */
  async issue (options: IssueOptions = {}): Promise<Issued> {
    const { sub = this.settings.user, scope = 'openid offline_access', ...asked } = options
    const { key, jkt } = this.settings.dpop ? await sessionKey() : {}
    if (key?.d !== undefined) this.#keys.push(key.d)
    const family = this.#realm.families.start(sub, scope, { jkt })
    const refreshToken = family.newestRefreshToken
    const response = await tokenResponse(this.#realm, family, { scope, ...asked, jkt, refreshToken })
    return { ...response, refresh_token: refreshToken, ...key && { dpopKey: key } }
  }

  /** Spoils the next requests at an endpoint; with `Infinity` all, until `clearFaults`. Faults queue up. */
  fault (fault: Fault, times = 1, endpoint: Endpoint = 'token'): void {
    this.#faults.add(fault, times, endpoint)
  }

  /** Spoils the token requests of certain people, until `clearFaults`. */
  faultFor (isMeant: (sub: string) => boolean, fault: Fault): void {
    this.#faults.add(fault, Infinity, 'token', ({ params: { refresh_token: token } }) => {
      const family = token === undefined ? undefined : this.familyOf(token)
      return family !== undefined && isMeant(family.sub)
    })
  }

  clearFaults (): void {
    this.#faults.clear()
  }

  /** Makes token requests (or those of another endpoint, or their answers) wait until the gate is released. */
  hold (options?: HoldOptions): Gate {
    return this.#gates.add(options)
  }

  /** What it signs with: for tokens of its own that no request asks for, and to rotate the key. */
  get signer (): Signer { return this.#realm.signer }

  /** A nonce as the next answer would bring it (RFC 9449 §8). */
  nextNonce (): string {
    return this.#realm.proofs.nextNonce()
  }

  /** Takes no nonce any more that was given before. */
  expireNonces (): void {
    this.#realm.proofs.expireNonces()
  }

  /** Stops listening, and destroys the open connections: ECONNREFUSED. */
  async refuseConnections (): Promise<void> {
    await this.#listener.stop()
    await this.#tlsListener?.stop()
  }

  /** Listens again, on the same port. */
  async acceptConnections (): Promise<void> {
    await this.#listener.start()
    const { origin } = this.#listener
    this.#realm.issuer = this.settings.behindTls ? origin.replace('http:', 'https:') : origin
    if (this.#tlsListener === undefined) return
    await this.#tlsListener.start()
    this.#realm.mtlsOrigin = this.#tlsListener.origin
  }

  /** All requests so far, in the order in which they came. */
  get requests (): readonly RequestRecord[] { return this.#log.records }
  get tokenRequests (): number { return this.requestsTo('token').length }
  get probes (): number { return this.requestsTo('probe').length }
  get refreshes (): number { return this.requestsTo('token', 'refresh_token').length }
  get codeExchanges (): number { return this.requestsTo('token', 'authorization_code').length }
  get revocations (): number { return this.requestsTo('revocation').length }
  get discoveries (): number { return this.requestsTo('metadata').length }
  get connections (): number { return this.#listener.connections + (this.#tlsListener?.connections ?? 0) }

  requestsTo (endpoint: Endpoint, grant?: string): RequestRecord[] {
    return this.#log.of(endpoint, grant)
  }

  /** Sets the counters back to 0. */
  forgetRequests (): void {
    this.#log.clear()
  }

  /** The sessions, dead ones too. */
  get families (): readonly Readonly<Family>[] { return this.#realm.families.all() }

  /** Every access and refresh token so far, dead ones too: to look for where none may stand. */
  get tokens (): string[] { return this.#realm.families.tokens() }

  /** The private keys of the sessions that were issued here, and every proof that came: to look for likewise. */
  get keysAndProofs (): string[] {
    return [...this.#keys, ...this.requests.flatMap(({ headers }) => headers.dpop === undefined ? [] : String(headers.dpop))]
  }

  /** The session that a refresh token (spent or not) or an access token is of. */
  familyOf (token: string): Readonly<Family> | undefined {
    return this.#realm.families.find(token)
  }

  /** Whether a session lives, by its id or by any of its tokens, spent ones too. */
  isAlive (tokenOrFamily: string): boolean {
    return this.#realm.families.find(tokenOrFamily)?.alive ?? false
  }

  /** Whose a living access token is: what an API asks. `null` once it is expired, revoked or unknown. */
  whoHas (accessToken: string): { sub: string, family: string, scope: string, resource?: string | undefined } | null {
    const access = this.#realm.families.access(accessToken)
    return access && { sub: access.family.sub, family: access.family.id, scope: access.scope, resource: access.resource }
  }

  /** Makes an access token invalid before its time; the session lives. */
  invalidate (accessToken: string): void {
    this.#realm.families.dropAccessToken(accessToken)
  }

  /** Ends a session, as an administrator would. */
  end (tokenOrFamily: string): void {
    const family = this.#realm.families.find(tokenOrFamily)
    if (family) family.alive = false
  }

  /** Stops all of it, and leaves no handle open. */
  async close (): Promise<void> {
    this.#closing.abort()
    this.#gates.releaseAll()
    await this.refuseConnections()
  }

  async #serve (request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await exchange(this.#stations, request, response)
    } catch (error) {
      // A client that went away; or a mistake of this server, which the test shall see.
      if (!response.destroyed) send(response, new OAuthError('server_error', String(error), 500).toAnswer())
    }
  }
}
