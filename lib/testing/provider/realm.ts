import type { Codes } from './codes.ts'
import type { Families } from './families.ts'
import type { Proofs } from './proofs.ts'
import type { PushedRequests } from './pushed-requests.ts'
import type { TestProviderSettings } from './settings.ts'
import type { Signer } from './signer.ts'

/** What the endpoints share: all that this provider knows. */
export interface Realm {
  issuer: string
  /** Where connections ask for a certificate of the client (RFC 8705 §5). */
  mtlsOrigin?: string
  settings: TestProviderSettings
  families: Families
  codes: Codes
  proofs: Proofs
  pushed: PushedRequests
  signer: Signer
  /** The jti of every client assertion so far. */
  usedAssertions: Set<string>
}
