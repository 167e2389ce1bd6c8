import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { InvalidOptions } from '../errors.ts'

/** A certificate of the client and its private key, in PEM. */
export interface ClientCertificate {
  /** With the intermediate certificates after it, where there are some. */
  readonly cert: string | Buffer
  readonly key: string | Buffer
  /** What the provider's own certificate is checked against; default: the authorities that Node knows. */
  readonly ca?: string | Buffer | Array<string | Buffer>
}

/** A pair that TLS takes, and until when, in seconds since the epoch. */
export interface CheckedCertificate extends ClientCertificate {
  readonly expiresAt: number
}

/** @throws FST_TOKEN_INVALID_OPTIONS for what is no certificate with its key, or has expired. */
export function checkCertificate (pair: ClientCertificate): CheckedCertificate {
  const checked = { ...pair, expiresAt: expiryOf(pair) }
  assertUnexpired(checked, Date.now() / 1000)
  return checked
}

function expiryOf (pair: ClientCertificate): number {
  try {
    createPrivateKey(pair.key) // which TLS itself takes to be elsewhere where it is missing
    createSecureContext({ ...pair })
    return Date.parse(new X509Certificate(pair.cert).validTo) / 1000
  } catch (error) {
    // OpenSSL's own words say no more than the code, and there may be a part of the key in Node's.
    throw new InvalidOptions(`tlsClientAuth: cert, key and ca must be PEM, and key the private key of cert${codeOf(error)}`)
  }
}

/** What is not sent cannot be taken for the end of a session: some services answer a certificate out of date with an unreadable 400. */
export function assertUnexpired ({ expiresAt }: CheckedCertificate, now: number): void {
  if (now < expiresAt) return
  throw new InvalidOptions(`tlsClientAuth: the client certificate has expired on ${new Date(expiresAt * 1000).toISOString()}. Give the one that replaces it`)
}

function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
}
