import { required, type Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import { checkResource } from './resource.ts'
import { tokenResponse, type TokenResponse } from './token-response.ts'

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'

/** RFC 8693: a token for another API in place of a living access token of this server, for the same user. */
export async function exchangeToken (realm: Realm, form: Form, jkt?: string): Promise<TokenResponse & { issued_token_type: string }> {
  const resource = checkResource(form.get('resource'), realm.settings)
  if (required(form, 'subject_token_type') !== accessTokenType) throw new OAuthError('invalid_request', 'subject_token_type is not that of an access token')
  if (form.has('actor_token') !== form.has('actor_token_type')) throw new OAuthError('invalid_request', 'actor_token and actor_token_type come together')
  if ((form.get('requested_token_type') ?? accessTokenType) !== accessTokenType) throw new OAuthError('invalid_request', 'only access tokens are issued')
  const subject = realm.families.access(required(form, 'subject_token'))
  if (!subject) throw new OAuthError('invalid_request', 'the subject_token is expired or revoked') // RFC 8693 §2.2.2
  if (subject.jkt !== undefined && subject.jkt !== jkt) throw new OAuthError('invalid_request', 'the subject_token is bound to another key')
  const actor = form.get('actor_token')
  if (actor !== undefined && !realm.families.access(actor)) throw new OAuthError('invalid_request', 'the actor_token is expired or revoked')
  const asked = { scope: form.get('scope') ?? 'default', resource: resource ?? form.get('audience') ?? subject.resource, jkt }
  return { ...await tokenResponse(realm, subject.family, asked), issued_token_type: accessTokenType }
}
