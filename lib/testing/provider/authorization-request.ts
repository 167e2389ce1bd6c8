import type { CodeGrant } from './codes.ts'
import { required, type Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import { checkResources } from './resource.ts'

/** Where the browser may be sent back to: only for a client and a redirect URI that are known (RFC 6749 §4.1.2.1). */
export function redirectUriOf ({ settings }: Realm, request: Form): string {
  if (required(request, 'client_id') !== settings.clientId) throw new OAuthError('invalid_request', 'the client is unknown')
  const redirectUri = required(request, 'redirect_uri')
  if (!isRegistered(redirectUri, settings.redirectUris)) throw new OAuthError('invalid_request', 'redirect_uri is not registered')
  return redirectUri
}

/** What a code would be given for. */
export function codeGrantOf ({ settings }: Realm, request: Form): CodeGrant {
  if (required(request, 'response_type') !== 'code') throw new OAuthError('unsupported_response_type', 'only code')
  if (required(request, 'code_challenge_method') !== 'S256') throw new OAuthError('invalid_request', 'only S256')
  const challenge = required(request, 'code_challenge')
  if (!/^[\w-]{43}$/.test(challenge)) throw new OAuthError('invalid_request', 'code_challenge is not a SHA-256 in base64url')
  return {
    sub: settings.user,
    scope: required(request, 'scope'),
    redirectUri: required(request, 'redirect_uri'),
    challenge,
    nonce: request.get('nonce'),
    dpopJkt: request.get('dpop_jkt'),
    resources: checkResources(request.get('resource'), settings)
  }
}

function isRegistered (uri: string, registered: string[] | null): boolean {
  if (registered) return registered.includes(uri)
  return URL.canParse(uri) && ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(uri).hostname) && !uri.includes('#')
}
