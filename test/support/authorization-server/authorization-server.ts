import type { Fault } from '../../../lib/testing/provider/fault-queue.ts'
import type { Family } from '../../../lib/testing/provider/families.ts'
import type { Endpoint } from '../../../lib/testing/provider/request-log.ts'
import type { Signer } from '../../../lib/testing/provider/signer.ts'
import { stationsOf, type Stations } from '../../../lib/testing/provider/stations.ts'
import { type IssuedTokens, type IssueOptions, TestProvider } from '../../../lib/testing/provider/test-provider.ts'
import { everythingWithDpop, type Settings } from './settings.ts'

/** Starts the kit's provider, and lets the test look into it. */
export async function startAuthorizationServer (settings: Partial<Settings> = {}): Promise<AuthorizationServer> {
  const server = new AuthorizationServer(await stationsOf({ dpop: everythingWithDpop, dpopNonce: everythingWithDpop ? 'issued' : null, ...settings }))
  await server.acceptConnections()
  return server
}

export class AuthorizationServer extends TestProvider {
  readonly #stations: Stations
  readonly #keys: string[] = []

  constructor (stations: Stations) {
    super(stations)
    this.#stations = stations
  }

  /** Where it listens with TLS, and asks for certificates; '' where it does not. */
  get mtlsOrigin (): string { return this.#stations.realm.mtlsOrigin ?? '' }

  override async issue (options: IssueOptions = {}): Promise<IssuedTokens> {
    const issued = await super.issue(options)
    if (issued.dpopKey?.d !== undefined) this.#keys.push(issued.dpopKey.d)
    return issued
  }

  /** Spoils the token requests of certain people, until `clearFaults`. */
  faultFor (isMeant: (sub: string) => boolean, fault: Fault): void {
    this.#stations.faults.add(fault, Infinity, 'token', ({ params: { refresh_token: token } }) => {
      const family = token === undefined ? undefined : this.familyOf(token)
      return family !== undefined && isMeant(family.sub)
    })
  }

  /** What it signs with: for tokens of its own that no request asks for, and to rotate the key. */
  get signer (): Signer { return this.#stations.realm.signer }

  /** A nonce as the next answer would bring it (RFC 9449 §8). */
  nextNonce (): string {
    return this.#stations.realm.proofs.nextNonce()
  }

  /** Takes no nonce any more that was given before. */
  expireNonces (): void {
    this.#stations.realm.proofs.expireNonces()
  }

  get probes (): number { return this.#count('probe') }
  get discoveries (): number { return this.#count('metadata') }

  #count (endpoint: Endpoint): number {
    return this.requestsTo(endpoint).length
  }

  /** The sessions, dead ones too. */
  get families (): readonly Readonly<Family>[] { return this.#stations.realm.families.all() }

  /** The session that a refresh token (spent or not) or an access token is of. */
  familyOf (token: string): Readonly<Family> | undefined {
    return this.#stations.realm.families.find(token)
  }

  /** Every access and refresh token so far, dead ones too: to look for where none may stand. */
  get tokens (): string[] { return this.#stations.realm.families.tokens() }

  /** The private keys of the sessions that were issued here, and every proof that came: to look for likewise. */
  get keysAndProofs (): string[] {
    return [...this.#keys, ...this.requests.flatMap(({ headers }) => headers.dpop === undefined ? [] : String(headers.dpop))]
  }
}
