import type { Codes } from './codes.ts'
import type { Families } from './families.ts'
import type { Proofs } from './proofs.ts'
import type { Settings } from './settings.ts'
import type { Signer } from './signer.ts'

/** What the endpoints share: all that this authorization server knows. */
export interface Realm {
  issuer: string
  settings: Settings
  families: Families
  codes: Codes
  proofs: Proofs
  signer: Signer
}
