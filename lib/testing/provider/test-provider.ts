import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { JWK } from 'jose'
import { send } from './answer.ts'
import { exchange } from './exchange.ts'
import type { Fault } from './fault-queue.ts'
import type { Gate, HoldOptions } from './gate.ts'
import { Listener } from './listener.ts'
import { OAuthError } from './oauth-error.ts'
import type { Endpoint, RequestRecord } from './request-log.ts'
import { sessionKey } from './session-key.ts'
import type { TestProviderSettings } from './settings.ts'
import { stationsOf, type Stations } from './stations.ts'
import { tokenResponse, type TokenResponse } from './token-response.ts'

/**
 * Starts an OpenID provider on a free port of loopback, for tests of login, refresh, logout and outage. It is as strict as
 * the strictest: refresh tokens rotate, the second use of one revokes the session, codes and client assertions are good
 * once, redirect URIs, PKCE and DPoP are checked. It keeps the process alive until it is closed.
 *
 * @param settings - what differs from the defaults; `provider.settings` changes it later.
 * @example
 * const provider = await testProvider({ expiresIn: 60 })
 * t.after(() => provider.close())
 * await app.register(tokenManagement, {
 *   issuer: provider.issuer,
 *   clientId: provider.clientId,
 *   clientSecret: provider.clientSecret,
 *   clock: provider.clock, // one provider.advance(61) moves both
 *   session: { key: sessionKey }
 * })
 */
export async function testProvider (settings: Partial<TestProviderSettings> = {}): Promise<TestProvider> {
  const provider = new TestProvider(await stationsOf(settings))
  await provider.acceptConnections()
  return provider
}

/** Whom tokens are for, and how long the access token lives, in seconds. By default what the settings say. */
export interface IssueOptions { sub?: string, scope?: string, resource?: string, expiresIn?: number, nonce?: string }

/** What a login would have brought: with DPoP, the tokens are bound to the key. */
export type IssuedTokens = TokenResponse & { refresh_token: string, dpopKey?: JWK }

/** A provider that `testProvider()` has started. */
export class TestProvider {
  readonly #stations: Stations
  readonly #listener: Listener
  readonly #tlsListener: Listener | undefined

  constructor (stations: Stations) {
    const { tls } = stations.realm.settings
    this.#stations = stations
    const handle: RequestListener = (request, response) => { this.#serve(request, response) }
    this.#listener = new Listener(handle)
    this.#tlsListener = tls ? new Listener(handle, tls) : undefined
  }

  /** Its address, which is the app's option `issuer`. */
  get issuer (): string { return this.#stations.realm.issuer }
  get clientId (): string { return this.settings.clientId }
  get clientSecret (): string { return this.settings.clientSecret }
  /** May be changed at any time: `provider.settings.user = 'bob'`. */
  get settings (): TestProviderSettings { return this.#stations.realm.settings }

  /** The time by its clock, in seconds since the epoch: also for the app's option `clock`. */
  readonly clock = (): number => this.settings.clock()

  /** Moves its clock, and that of an app whose option `clock` it is, by so many seconds. */
  advance (seconds: number): void {
    const { clock } = this.settings
    this.settings.clock = () => clock() + seconds
  }

  /** Starts a session without a browser: the tokens as a login would have got them. */
  async issue (options: IssueOptions = {}): Promise<IssuedTokens> {
    const { realm } = this.#stations
    const { sub = this.settings.user, scope = 'openid offline_access', ...asked } = options
    const { key, jkt } = this.settings.dpop ? await sessionKey() : {}
    const family = realm.families.start(sub, scope, { jkt })
    const refreshToken = family.newestRefreshToken
    const response = await tokenResponse(realm, family, { scope, ...asked, jkt, refreshToken })
    return { ...response, refresh_token: refreshToken, ...key && { dpopKey: key } }
  }

  /**
   * Spoils the next requests to an endpoint. Faults queue up.
   *
   * @param times - how many of them: `Infinity` for all, until `clearFaults()`.
   * @example
   * provider.fault(faults.oauthError('invalid_grant'))
   */
  fault (fault: Fault, times = 1, endpoint: Endpoint = 'token'): void {
    this.#stations.faults.add(fault, times, endpoint)
  }

  /** Serves all requests again as they should be, from the next one on. */
  clearFaults (): void {
    this.#stations.faults.clear()
  }

  /**
   * Makes the token requests (or those to another endpoint, or their answers) wait until the gate is released.
   *
   * @example
   * const gate = provider.hold()
   * const answers = [inject('/orders'), inject('/orders')]
   * await gate.arrived()
   * gate.release()
   */
  hold (options?: HoldOptions): Gate {
    return this.#stations.gates.add(options)
  }

  /** An outage: stops listening, and destroys the open connections. */
  async refuseConnections (): Promise<void> {
    await this.#listener.stop()
    await this.#tlsListener?.stop()
  }

  /** The end of the outage: listens again, on the same port. */
  async acceptConnections (): Promise<void> {
    const { realm } = this.#stations
    await this.#listener.start()
    const { origin } = this.#listener
    realm.issuer = this.settings.behindTls ? origin.replace('http:', 'https:') : origin
    if (this.#tlsListener === undefined) return
    await this.#tlsListener.start()
    realm.mtlsOrigin = this.#tlsListener.origin
  }

  /** All requests so far, in the order in which they came. */
  get requests (): readonly RequestRecord[] { return this.#stations.log.records }
  /** How many token requests came, of any grant. */
  get tokenRequests (): number { return this.requestsTo('token').length }
  /** How many of them were refreshes. */
  get refreshes (): number { return this.requestsTo('token', 'refresh_token').length }
  /** How many redeemed the code of a login. */
  get codeExchanges (): number { return this.requestsTo('token', 'authorization_code').length }
  get revocations (): number { return this.requestsTo('revocation').length }
  /** How many connections were opened. */
  get connections (): number { return this.#listener.connections + (this.#tlsListener?.connections ?? 0) }

  /** The requests to an endpoint so far, or only those of a grant_type. */
  requestsTo (endpoint: Endpoint, grant?: string): RequestRecord[] {
    return this.#stations.log.of(endpoint, grant)
  }

  /** Sets the counters back to 0. */
  forgetRequests (): void {
    this.#stations.log.clear()
  }

  /** Whose a living access token is: what an API asks. `null` once it is expired, revoked or unknown. */
  whoHas (accessToken: string): { sub: string, family: string, scope: string, resource?: string | undefined } | null {
    const access = this.#stations.realm.families.access(accessToken)
    return access && { sub: access.family.sub, family: access.family.id, scope: access.scope, resource: access.resource }
  }

  /** Whether a session lives, by any of its tokens, spent ones too, or by its `sid`. */
  isAlive (tokenOrSid: string): boolean {
    return this.#stations.realm.families.find(tokenOrSid)?.alive ?? false
  }

  /** Makes an access token invalid before its time; the session lives. */
  invalidate (accessToken: string): void {
    this.#stations.realm.families.dropAccessToken(accessToken)
  }

  /** Ends sessions as an administrator would: that of a token or of a `sid`, or all of a user, by the `sub`. */
  end (tokenSidOrSub: string): void {
    const { families } = this.#stations.realm
    const named = families.find(tokenSidOrSub)
    for (const family of families.all()) if (family === named || family.sub === tokenSidOrSub) family.alive = false
  }

  /** Stops all of it, and leaves no handle open. */
  async close (): Promise<void> {
    this.#stations.closing.abort()
    this.#stations.gates.releaseAll()
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
