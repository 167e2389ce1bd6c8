import type { Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import { checkResource } from './resource.ts'
import { tokenResponse, type TokenResponse } from './token-response.ts'

/** RFC 6749 §4.4: a token for the client itself, with no refresh token (§4.4.3) and nobody to identify. */
export async function clientCredentials (realm: Realm, form: Form, jkt?: string): Promise<TokenResponse> {
  const resource = checkResource(form.get('resource'), realm.settings)
  const scope = form.get('scope') ?? 'default'
  if (/\b(openid|offline_access)\b/.test(scope)) throw new OAuthError('invalid_scope', 'there is no user')
  return await tokenResponse(realm, realm.families.start(realm.settings.clientId, scope), { scope, resource, jkt })
}
