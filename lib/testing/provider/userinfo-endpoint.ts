import type { Answer } from './answer.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** A protected resource: it says whose token it got, or 401 as RFC 6750 §3 and RFC 9449 §7.1 do. */
export async function userinfoEndpoint (realm: Realm, record: RequestRecord): Promise<Answer> {
  const [, scheme, token] = /^(Bearer|DPoP) ([\w.~+/-]+=*)$/i.exec(record.headers.authorization ?? '') ?? []
  if (scheme === undefined || token === undefined) throw challenge('Bearer', 'invalid_request', 'no token')
  const access = realm.families.access(token)
  if (!access) throw challenge(scheme, 'invalid_token', 'expired or revoked')
  if (scheme.toLowerCase() === 'dpop' || access.jkt !== undefined) {
    const proof = await realm.proofs.take(record, token).catch((error: unknown) => {
      throw error instanceof OAuthError ? challenge('DPoP', error.code, error.message) : error
    })
    if (access.jkt === undefined || proof?.jkt !== access.jkt || scheme.toLowerCase() !== 'dpop') throw challenge('DPoP', 'invalid_token', 'the token is bound to another key')
  }
  return { status: 200, headers: {}, body: { sub: access.family.sub, scope: access.scope, resource: access.resource, ...realm.settings.userinfoClaims } }
}

function challenge (scheme: string, code: string, description: string): OAuthError {
  return new OAuthError(code, description, 401, { 'www-authenticate': code === 'invalid_request' ? scheme : `${scheme} error="${code}"` })
}
