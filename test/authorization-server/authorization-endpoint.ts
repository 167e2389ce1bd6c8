import type { Answer } from './answer.ts'
import { required, withoutDuplicates, type Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'
import { checkResource } from './resource.ts'

/** Logs the user of the settings in at once. Only a client and a redirect URI that are known get a redirect (RFC 6749 §4.1.2.1). */
export function authorizationEndpoint (realm: Realm, { url }: RequestRecord): Answer {
  const query = withoutDuplicates(url.searchParams)
  if (required(query, 'client_id') !== realm.settings.clientId) throw new OAuthError('invalid_request', 'the client is unknown')
  const redirectUri = required(query, 'redirect_uri')
  if (!isRegistered(redirectUri, realm.settings.redirectUris)) throw new OAuthError('invalid_request', 'redirect_uri is not registered')
  const location = new URL(redirectUri)
  for (const [name, value] of Object.entries(outcome(realm, query, redirectUri))) location.searchParams.set(name, value)
  if (query.has('state')) location.searchParams.set('state', query.get('state') ?? '')
  location.searchParams.set('iss', realm.issuer)
  return { status: 303, headers: { location: location.href, 'cache-control': 'no-store' }, body: '' }
}

function outcome (realm: Realm, query: Form, redirectUri: string): Record<string, string> {
  try {
    return { code: authorize(realm, query, redirectUri) }
  } catch (error) {
    if (error instanceof OAuthError) return { error: error.code, error_description: error.message }
    throw error
  }
}

function authorize ({ settings, codes }: Realm, query: Form, redirectUri: string): string {
  if (settings.loginError !== null) throw new OAuthError(settings.loginError, 'as the test asked for')
  if (required(query, 'response_type') !== 'code') throw new OAuthError('unsupported_response_type', 'only code')
  if (required(query, 'code_challenge_method') !== 'S256') throw new OAuthError('invalid_request', 'only S256')
  const challenge = required(query, 'code_challenge')
  if (!/^[\w-]{43}$/.test(challenge)) throw new OAuthError('invalid_request', 'code_challenge is not a SHA-256 in base64url')
  return codes.issue({
    sub: settings.user,
    scope: required(query, 'scope'),
    redirectUri,
    challenge,
    nonce: query.get('nonce'),
    dpopJkt: query.get('dpop_jkt'),
    resource: checkResource(query.get('resource'), settings)
  })
}

function isRegistered (uri: string, registered: string[] | null): boolean {
  if (registered) return registered.includes(uri)
  return URL.canParse(uri) && ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(uri).hostname) && !uri.includes('#')
}
