import type { Answer } from './answer.ts'
import { authenticateClient } from './client-authentication.ts'
import { formOf, required } from './form.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** RFC 7009: a refresh token takes its family along, and an unknown token is no error (§2.2). */
export async function revocationEndpoint (realm: Realm, record: RequestRecord): Promise<Answer> {
  const form = formOf(record)
  await authenticateClient(realm, record, form)
  realm.families.revoke(required(form, 'token'))
  return { status: 200, headers: {}, body: '' }
}
