import { OAuthError } from './oauth-error.ts'
import type { RequestRecord } from './request-log.ts'

export type Form = ReadonlyMap<string, string>

const secrets = ['client_id', 'client_secret', 'client_assertion', 'code', 'refresh_token', 'token']

/** The parameters of a POST, read as strictly as RFC 6749 §3.2 allows to. */
export function formOf ({ method, headers, url, body }: RequestRecord): Form {
  if (method !== 'POST') throw new OAuthError('invalid_request', 'POST only', 405, { allow: 'POST' })
  if (!/^application\/x-www-form-urlencoded *(; *charset="?utf-8"?)?$/i.test(headers['content-type'] ?? '')) {
    throw new OAuthError('invalid_request', 'the content type must be application/x-www-form-urlencoded')
  }
  // RFC 6749 §2.3.1: never in the URI, where logs would keep them.
  if (secrets.some((name) => url.searchParams.has(name))) throw new OAuthError('invalid_request', 'credentials in the query')
  return withoutDuplicates(new URLSearchParams(body))
}

/** RFC 6749 §3.1: no parameter twice; but `resource` (RFC 8707 §2), whose values are given with spaces between them. */
export function withoutDuplicates (params: URLSearchParams): Form {
  const form = new Map<string, string>()
  if (params.has('resource')) form.set('resource', params.getAll('resource').join(' '))
  for (const [name, value] of params) {
    if (name === 'resource') continue
    if (form.has(name)) throw new OAuthError('invalid_request', `${name} is given twice`)
    form.set(name, value)
  }
  // RFC 6749 §3.2: a parameter without a value counts as left out.
  return new Map([...form].filter(([, value]) => value !== ''))
}

export function required (form: Form, name: string): string {
  const value = form.get(name)
  if (value === undefined) throw new OAuthError('invalid_request', `${name} is missing`)
  return value
}
