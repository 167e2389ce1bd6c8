import { isRecord } from './record.ts'

/** The claims of a JWT, unverified: for a hint only. `undefined` for anything that is not one. */
export function readClaims (token: string): Record<string, unknown> | undefined {
  const [, payload, signature] = token.split('.')
  if (payload === undefined || signature === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return isRecord(claims) ? claims : undefined
  } catch {
    return undefined
  }
}
