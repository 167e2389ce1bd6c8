import type { IncomingHttpHeaders } from 'node:http'
import type { Assertion } from './client-assertion.ts'
import type { ClientAuthenticationMethod } from './client-authentication.ts'
import type { Certificate } from './client-certificate.ts'
import type { Proof } from './proofs.ts'

/** A GET of the token endpoint is a probe: it asks for nothing. */
export type Endpoint = 'metadata' | 'jwks' | 'authorization' | 'pushedAuthorization' | 'token' | 'probe' | 'revocation' | 'endSession' | 'userinfo' | 'unknown'

/** One request as the server saw it, and what it made of it. */
export interface RequestRecord {
  /** When it arrived, by the server's clock. */
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
