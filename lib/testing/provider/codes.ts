import { createHash, randomBytes } from 'node:crypto'
import type { Families, Family } from './families.ts'
import { OAuthError } from './oauth-error.ts'

/** What an authorization code was given for. */
export interface CodeGrant {
  sub: string
  scope: string
  redirectUri: string
  /** The code_challenge, S256. */
  challenge: string
  nonce?: string | undefined
  /** The key that must redeem it (RFC 9449 §10). */
  dpopJkt?: string | undefined
  /** What may be asked for with it (RFC 8707 §2.1); none: anything. */
  resources: string[]
}

/** What a code is redeemed with. */
export interface Redemption { code: string, redirectUri: string, verifier: string, jkt?: string | undefined }

interface Code extends CodeGrant { expiresAt: number, used: boolean, family?: Family }

/** Seconds that a code is good for. */
const lifetime = 60

export class Codes {
  readonly #families: Families
  readonly #clock: () => number
  readonly #codes = new Map<string, Code>()

  constructor (families: Families, clock: () => number) {
    this.#families = families
    this.#clock = clock
  }

  issue (grant: CodeGrant): string {
    const code = randomBytes(32).toString('base64url')
    this.#codes.set(code, { ...grant, expiresAt: this.#clock() + lifetime, used: false })
    return code
  }

  /** Turns a code into a family, once: any try spends it, and a replay kills what came of it (RFC 6749 §4.1.2). */
  redeem ({ code, redirectUri, verifier, jkt }: Redemption): { family: Family, grant: CodeGrant } {
    const known = this.#codes.get(code)
    if (!known || known.expiresAt <= this.#clock()) throw new OAuthError('invalid_grant', 'the code is unknown or expired')
    if (known.used) {
      if (known.family) known.family.alive = false
      throw new OAuthError('invalid_grant', 'the code was used before')
    }
    known.used = true
    if (known.redirectUri !== redirectUri) throw new OAuthError('invalid_grant', 'redirect_uri is not that of the authorization request')
    if (!proves(verifier, known.challenge)) throw new OAuthError('invalid_grant', 'code_verifier does not match code_challenge')
    if (known.dpopJkt !== undefined && known.dpopJkt !== jkt) throw new OAuthError('invalid_grant', 'the code is bound to another key')
    known.family = this.#families.start(known.sub, known.scope, { jkt, resources: known.resources })
    return { family: known.family, grant: known }
  }
}

/** RFC 7636 §4.6 */
function proves (verifier: string, challenge: string): boolean {
  return /^[\w.~-]{43,128}$/.test(verifier) && createHash('sha256').update(verifier).digest('base64url') === challenge
}
