import type { Answer } from './answer.ts'
import { codeGrantOf, redirectUriOf } from './authorization-request.ts'
import { authenticateClient } from './client-authentication.ts'
import { formOf } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import { pushedLifetime } from './pushed-requests.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** RFC 9126 §2: the same checks as at the authorization endpoint, before any browser comes. A proof binds the code (RFC 9449 §10.1). */
export async function pushedAuthorizationEndpoint (realm: Realm, record: RequestRecord): Promise<Answer> {
  const form = formOf(record)
  await authenticateClient(realm, record, form)
  if (form.has('request_uri')) throw new OAuthError('invalid_request', 'a request_uri cannot be pushed')
  redirectUriOf(realm, form)
  codeGrantOf(realm, form)
  const proof = await realm.proofs.take(record)
  const dpopJkt = form.get('dpop_jkt')
  if (proof && dpopJkt !== undefined && proof.jkt !== dpopJkt) throw new OAuthError('invalid_dpop_proof', 'dpop_jkt is of another key than the proof')
  const bound = proof ? new Map([...form, ['dpop_jkt', proof.jkt]]) : form
  return {
    status: 201,
    headers: { 'cache-control': 'no-store' },
    body: { request_uri: realm.pushed.add(bound), expires_in: pushedLifetime }
  }
}
