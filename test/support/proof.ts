import { decodeJwt, decodeProtectedHeader, type JWTPayload, type ProtectedHeaderParameters } from 'jose'
import type { RequestRecord } from '../../lib/testing/provider/request-log.ts'

/** The proof of possession that came with a request, read and not judged. */
export function proofOf ({ headers }: RequestRecord): { header: ProtectedHeaderParameters, claims: JWTPayload } {
  const proof = String(headers.dpop)
  return { header: decodeProtectedHeader(proof), claims: decodeJwt(proof) }
}
