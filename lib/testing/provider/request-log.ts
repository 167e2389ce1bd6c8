import type { X509Certificate } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { ClientAuthenticationMethod } from './settings.ts'

/** A GET of the token endpoint is a probe: it asks for nothing. */
export type Endpoint = 'metadata' | 'jwks' | 'authorization' | 'pushedAuthorization' | 'token' | 'probe' | 'revocation' | 'endSession' | 'userinfo' | 'unknown'

/** A client assertion and what it says, as it was verified. */
export interface Assertion { header: Record<string, unknown>, claims: Record<string, unknown> }

/** The certificate that a connection was opened with. */
export interface Certificate {
  x509: X509Certificate
  /** It is of an authority that the provider trusts, and has not expired. */
  authorized: boolean
}

/** A proof of possession that was accepted. */
export interface Proof {
  /** The thumbprint of its key (RFC 7638). */
  readonly jkt: string
  readonly alg: string
  readonly nonce?: string | undefined
}

/** One request as the provider saw it, and what it made of it. */
export interface RequestRecord {
  /** When it arrived by the provider's clock, in seconds since the epoch. */
  at: number
  endpoint: Endpoint
  method: string
  url: URL
  headers: IncomingHttpHeaders
  /** The raw body. */
  body: string
  /** The parameters in the body, or in the query of a GET; of duplicates the last. */
  params: Record<string, string>
  /** The grant_type asked for. */
  grant?: string | undefined
  /** The method that the client authenticated with, once it has been accepted. */
  clientAuthentication?: ClientAuthenticationMethod
  /** The proof of possession, once it has been accepted. */
  proof?: Proof
  /** The client assertion, once it has been accepted. */
  assertion?: Assertion
  /** The certificate of the connection, accepted or not. */
  certificate?: Certificate | undefined
  /** The status answered, after faults; missing while the request waits. */
  status?: number
  /** The OAuth error answered, after faults. */
  error?: string
}

export class RequestLog {
  readonly records: RequestRecord[] = []

  add (record: RequestRecord): void {
    this.records.push(record)
  }

  /** The records of an endpoint, and of one grant if it is named. */
  of (endpoint: Endpoint, grant?: string): RequestRecord[] {
    return this.records.filter((record) => record.endpoint === endpoint && (grant === undefined || record.grant === grant))
  }

  clear (): void {
    this.records.length = 0
  }
}
