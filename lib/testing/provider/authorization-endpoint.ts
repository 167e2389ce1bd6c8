import type { Answer } from './answer.ts'
import { codeGrantOf, redirectUriOf } from './authorization-request.ts'
import { required, withoutDuplicates, type Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** Logs the user of the settings in at once. */
export function authorizationEndpoint (realm: Realm, { url }: RequestRecord): Answer {
  const request = requestOf(realm, withoutDuplicates(url.searchParams))
  const location = new URL(redirectUriOf(realm, request))
  for (const [name, value] of Object.entries(outcome(realm, request))) location.searchParams.set(name, value)
  if (request.has('state')) location.searchParams.set('state', request.get('state') ?? '')
  location.searchParams.set('iss', realm.issuer)
  return { status: 303, headers: { location: location.href, 'cache-control': 'no-store' }, body: '' }
}

/** What the browser brings, or what it says was pushed (RFC 9126 §4): then nothing else may come with it. */
function requestOf ({ settings, pushed }: Realm, query: Form): Form {
  const uri = query.get('request_uri')
  if (uri === undefined) {
    if (settings.requirePushedRequests) throw new OAuthError('invalid_request', 'the request must be pushed')
    return query
  }
  if (query.size !== 2 || required(query, 'client_id') !== settings.clientId) throw new OAuthError('invalid_request', 'request_uri comes with client_id, and alone')
  return pushed.take(uri)
}

function outcome (realm: Realm, request: Form): Record<string, string> {
  try {
    if (realm.settings.loginError !== null) throw new OAuthError(realm.settings.loginError, 'as the test asked for')
    return { code: realm.codes.issue(codeGrantOf(realm, request)) }
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    return { error: error.code, error_description: error.message }
  }
}
