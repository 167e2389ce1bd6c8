import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { type Agent, buildConnector } from 'undici'
import { InvalidOptions } from '../errors.ts'
import { ofCurrent } from './current.ts'

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

/** Milliseconds after which a connection is replaced, a busy one too: it was opened with a certificate that may have been exchanged. */
const CONNECTION_TTL = 60_000

/** @throws FST_TOKEN_INVALID_OPTIONS for what is no certificate with its key, or has expired. */
export function checkCertificate (pair: ClientCertificate): CheckedCertificate {
  const checked = { ...pair, expiresAt: expiryOf(pair) }
  assertUnexpired(checked, Date.now() / 1000)
  return checked
}

function expiryOf (pair: ClientCertificate): number {
  try {
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

/** Options of an undici Agent, so that its connections present the current certificate. */
export function presenting (certificate: () => Promise<ClientCertificate>, options: Agent.Options): Agent.Options {
  const { connect, connectTimeout, allowH2, maxCachedSessions } = options
  if (typeof connect === 'function') {
    throw new InvalidOptions('backchannel.connect is a function of the app, so that the certificate cannot be given to it: let it bring the certificate, and call tlsClientAuth() without one')
  }
  // A connector of its own for each certificate: a resumed TLS session would be the old one's.
  const current = ofCurrent(certificate, (pair) => buildConnector({ timeout: connectTimeout, allowH2, maxCachedSessions, ...connect, ...pair }))
  return {
    clientTtl: CONNECTION_TTL,
    ...options,
    connect (target, callback) {
      current().then((connector) => { connector(target, callback) }, (error: Error) => { callback(error, null) })
    }
  }
}

function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
}
