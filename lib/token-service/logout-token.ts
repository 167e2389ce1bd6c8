import { decodeProtectedHeader, jwtVerify, type JWTPayload } from 'jose'
import type { Dispatcher } from 'undici'
import type { ProviderLogout } from '../tokens/provider-logout.ts'
import { isRecord } from '../tokens/record.ts'
import { BackchannelError } from './backchannel.ts'
import type { ProviderRequests, ProviderSettings } from './provider-requests.ts'

/** What the provider says has ended (OpenID Connect Back-Channel Logout §2.4). */
export interface LogoutToken extends ProviderLogout {
  /** As long as it is taken: seconds since the epoch, by the clock of this machine. */
  readonly goodUntil: number
  readonly jti: string
}

/** It is no logout token of this provider for this client, that is good now. Its message says why, and nothing of what is in it. */
export class BadLogoutToken extends Error {
  override name = 'BadLogoutToken'
}

export type LogoutTokensSettings = Pick<ProviderSettings, 'clientId' | 'clock' | 'clockTolerance'>

/** An id_token is none: they must not be taken for one another (§2.6, §4). */
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const TYPES: ReadonlyArray<string | undefined> = [undefined, 'jwt', 'logout+jwt', 'application/logout+jwt']

/** What the provider says by itself, and not in answer to a request. */
export class LogoutTokens {
  readonly #requests: ProviderRequests
  readonly #settings: LogoutTokensSettings

  constructor (requests: ProviderRequests, settings: LogoutTokensSettings) {
    this.#requests = requests
    this.#settings = settings
  }

  /**
   * Checks a logout token (§2.6), but for whether it came before.
   *
   * @throws BadLogoutToken; BackchannelError where nobody can tell, for want of the provider's keys.
   */
  async read (token: string, dispatcher: Dispatcher): Promise<LogoutToken> {
    try {
      return await this.#read(token, dispatcher)
    } catch (error) {
      if (error instanceof BackchannelError || error instanceof BadLogoutToken) throw error
      throw new BadLogoutToken(error instanceof Error ? error.message : 'unknown')
    }
  }

  async #read (token: string, dispatcher: Dispatcher): Promise<LogoutToken> {
    const { server: { issuer, id_token_signing_alg_values_supported: algorithms = ['RS256'] }, signatures } = this.#requests
    const { clientId, clock, clockTolerance } = this.#settings
    const { alg = 'none', typ } = decodeProtectedHeader(token)
    if (!TYPES.includes(typ?.toLowerCase())) throw new BadLogoutToken('its typ is that of another kind of token')
    if (alg === 'none' || !algorithms.includes(alg)) throw new BadLogoutToken('its alg is none that the provider signs with')
    const key = await signatures.keyOf(token, { dispatcher })
    const { payload } = await jwtVerify(token, key, {
      algorithms: [alg],
      issuer,
      audience: clientId,
      requiredClaims: ['iat', 'exp', 'jti'],
      clockTolerance,
      currentDate: new Date(clock() * 1000)
    })
    return logoutTokenOf(payload, clock(), clockTolerance)
  }
}

function logoutTokenOf ({ sub, sid, iat = NaN, exp = NaN, jti, nonce, events }: JWTPayload, now: number, clockTolerance: number): LogoutToken {
  if (!isRecord(events) || !isRecord(events[EVENT])) throw new BadLogoutToken('its events are not those of a logout')
  if (nonce !== undefined) throw new BadLogoutToken('it has a nonce')
  if (!isText(jti)) throw new BadLogoutToken('its jti is no text')
  if (!(iat <= now + clockTolerance)) throw new BadLogoutToken('its iat is in the future')
  if (sub === undefined && sid === undefined) throw new BadLogoutToken('it has neither sub nor sid')
  if ((sub !== undefined && !isText(sub)) || (sid !== undefined && !isText(sid))) throw new BadLogoutToken('its sub or sid is no text')
  return { ...(sub !== undefined && { sub }), ...(isText(sid) && { sid }), issuedAt: iat, goodUntil: exp + clockTolerance, jti }
}

function isText (claim: unknown): claim is string {
  return typeof claim === 'string' && claim !== ''
}
