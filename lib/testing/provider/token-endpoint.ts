import type { Answer } from './answer.ts'
import { authenticateClient } from './client-authentication.ts'
import { clientCredentials } from './client-credentials.ts'
import { formOf, required, type Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'
import { checkResource } from './resource.ts'
import { exchangeToken } from './token-exchange.ts'
import { tokenResponse, type TokenResponse } from './token-response.ts'

/** A grant checks and spends before its first await: parallel requests see each other's spending. */
type GrantType = (realm: Realm, form: Form, jkt?: string) => Promise<TokenResponse>

const grants = new Map<string, GrantType>([
  ['authorization_code', redeemCode],
  ['refresh_token', refresh],
  ['client_credentials', clientCredentials],
  ['urn:ietf:params:oauth:grant-type:token-exchange', exchangeToken]
])

export async function tokenEndpoint (realm: Realm, record: RequestRecord): Promise<Answer> {
  const form = formOf(record)
  await authenticateClient(realm, record, form)
  const proof = await realm.proofs.take(record)
  if (!proof && realm.settings.dpop) throw new OAuthError('invalid_dpop_proof', 'a proof is required')
  const grant = grants.get(required(form, 'grant_type'))
  if (!grant) throw new OAuthError('unsupported_grant_type', 'the grant_type is not supported')
  return { status: 200, headers: { 'cache-control': 'no-store', pragma: 'no-cache' }, body: await grant(realm, form, proof?.jkt) }
}

async function redeemCode (realm: Realm, form: Form, jkt?: string): Promise<TokenResponse> {
  const { family, grant } = realm.codes.redeem({
    code: required(form, 'code'), redirectUri: required(form, 'redirect_uri'), verifier: required(form, 'code_verifier'), jkt
  })
  const resource = checkResource(form.get('resource'), realm.settings, grant.resources)
  return tokenResponse(realm, family, {
    scope: grant.scope, resource, nonce: grant.nonce, jkt, refreshToken: family.newestRefreshToken
  })
}

async function refresh (realm: Realm, form: Form, jkt?: string): Promise<TokenResponse> {
  const given = required(form, 'refresh_token')
  const family = realm.families.claim(given, jkt)
  const resource = checkResource(form.get('resource'), realm.settings, family.resources)
  const scope = narrowed(family.scope, form.get('scope'))
  return tokenResponse(realm, family, { scope, resource, jkt, refreshToken: realm.families.rotate(given) })
}

/** RFC 6749 §6: never more than was granted. */
function narrowed (granted: string, asked = granted): string {
  const allowed = granted.split(' ')
  if (!asked.split(' ').every((scope) => allowed.includes(scope))) throw new OAuthError('invalid_scope', 'the scope exceeds the grant')
  return asked
}
