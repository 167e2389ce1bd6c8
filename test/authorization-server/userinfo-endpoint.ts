import type { Answer } from './answer.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** A protected resource: it says whose token it got, or 401 as RFC 6750 §3 does. */
export function userinfoEndpoint ({ families }: Realm, { headers }: RequestRecord): Answer {
  const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(headers.authorization ?? '')?.[1]
  if (token === undefined) throw new OAuthError('invalid_request', 'no token', 401, { 'www-authenticate': 'Bearer' })
  const access = families.access(token)
  if (!access) throw new OAuthError('invalid_token', 'expired or revoked', 401, { 'www-authenticate': 'Bearer error="invalid_token"' })
  return { status: 200, headers: {}, body: { sub: access.family.sub, scope: access.scope, resource: access.resource } }
}
