import { createHash, randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify, type JWTVerifyResult } from 'jose'
import { OAuthError } from './oauth-error.ts'
import type { Proof, RequestRecord } from './request-log.ts'
import type { TestProviderSettings } from './settings.ts'

export const proofAlgorithms = ['ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA']

/** Seconds that a proof may be old, or come from the future: where no nonce tells when it was made (§4.3). */
const tolerance = 60

/** Judges proofs as RFC 9449 §4.3 wants it, and gives the nonces that the next ones must hold. */
export class Proofs {
  readonly #settings: TestProviderSettings
  readonly #used = new Set<string>()
  readonly #nonces = new Set<string>()

  constructor (settings: TestProviderSettings) {
    this.#settings = settings
  }

  /** Takes the proof of a request, once, and notes it in the record; `undefined` where there is none. */
  async take (record: RequestRecord, accessToken?: string): Promise<Proof | undefined> {
    const { dpop } = record.headers
    if (dpop === undefined) return undefined
    const { protectedHeader: { alg, jwk = { kty: '' } }, payload } = await verified(String(dpop))
    if ('d' in jwk || 'k' in jwk) throw refused('jwk is not a public key')
    if (payload.htm !== record.method) throw refused('htm is not the method')
    if (payload.htu !== record.url.origin + record.url.pathname) throw refused('htu is not the address without query and fragment')
    if (payload.ath !== (accessToken && createHash('sha256').update(accessToken).digest('base64url'))) throw refused('ath is not the hash of the access token')
    if (this.#settings.dpopNonce === null && Math.abs(Number(payload.iat) - this.#settings.clock()) > tolerance) throw refused('iat is not now')
    const nonce = typeof payload.nonce === 'string' ? payload.nonce : undefined
    if (this.#settings.dpopNonce !== null && !this.#nonces.has(nonce ?? '')) throw new OAuthError('use_dpop_nonce', 'the proof needs the nonce in DPoP-Nonce')
    if (this.#settings.dpopNonce === 'once') this.#nonces.delete(nonce ?? '')
    if (typeof payload.jti !== 'string' || this.#used.has(payload.jti)) throw refused('jti is missing, or was used before')
    this.#used.add(payload.jti)
    record.proof = { jkt: await calculateJwkThumbprint(jwk), alg, nonce }
    return record.proof
  }

  /** What every answer to a proof says (RFC 9449 §8). */
  nonceHeader ({ headers }: RequestRecord): Record<string, string> {
    return headers.dpop === undefined || this.#settings.dpopNonce === null ? {} : { 'dpop-nonce': this.nextNonce() }
  }

  nextNonce (): string {
    if (this.#settings.dpopNonce === 'newest') this.#nonces.clear()
    const nonce = randomBytes(16).toString('base64url')
    this.#nonces.add(nonce)
    return nonce
  }

  expireNonces (): void {
    this.#nonces.clear()
  }
}

async function verified (proof: string): Promise<JWTVerifyResult> {
  try {
    // The clock is judged apart, and by that of the settings.
    return await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: proofAlgorithms, requiredClaims: ['iat', 'jti', 'htm', 'htu'], currentDate: new Date(0) })
  } catch (error) {
    throw refused(error instanceof errors.JOSEError ? error.message : 'the proof is no JWT')
  }
}

function refused (problem: string): OAuthError {
  return new OAuthError('invalid_dpop_proof', problem)
}
