import { isRecord } from '../tokens/record.ts'
import type { JsonWebKey } from '../tokens/token-set.ts'
import { packReturnTo, unpackReturnTo } from './return-to.ts'

/** How long somebody may take at the login page, in seconds. */
export const TRANSACTION_SECONDS = 600

/** One login from the redirect to the callback. */
export interface Transaction {
  /** RFC 6749 §4.1.1 */
  readonly state: string
  /** RFC 7636 §4.1 */
  readonly codeVerifier: string
  /** Missing where no id_token was asked for, or none with a nonce (OpenID Connect Core §3.1.2.1). */
  readonly nonce?: string
  /** Where the browser ends up, a path of this app. */
  readonly returnTo: string
  /** What was asked for, where it is not the option's. */
  readonly scope?: readonly string[]
  /** The private key that the tokens will be bound to (RFC 9449). */
  readonly dpopKey?: JsonWebKey
  /** Seconds since the epoch. */
  readonly startedAt: number
}

/** As it is sealed: under short names, since a browser may hold several. */
export function packTransaction ({ state, codeVerifier, nonce, returnTo, scope, dpopKey, startedAt }: Transaction): Record<string, unknown> {
  return {
    s: state,
    v: codeVerifier,
    r: packReturnTo(returnTo),
    t: Math.floor(startedAt),
    ...(nonce !== undefined && { n: nonce }),
    ...(scope && { c: scope.join(' ') }),
    ...(dpopKey && { k: dpopKey })
  }
}

/** `undefined` for what has not been packed by `packTransaction`. */
export function unpackTransaction ({ s: state, v: codeVerifier, r: returnTo, t: startedAt, n: nonce, c: scope, k: dpopKey }: Record<string, unknown>): Transaction | undefined {
  if (typeof state !== 'string' || typeof codeVerifier !== 'string' || typeof returnTo !== 'string' || typeof startedAt !== 'number') return undefined
  return {
    state,
    codeVerifier,
    returnTo: unpackReturnTo(returnTo),
    startedAt,
    ...(typeof nonce === 'string' && { nonce }),
    ...(typeof scope === 'string' && { scope: scope.split(' ') }),
    ...(isRecord(dpopKey) && { dpopKey })
  }
}
