import { InvalidParameters } from '../errors.ts'

/** Which access token is wanted: none of both means the login's own, or what a client is declared with. */
export interface TokenWish {
  /** An absolute URI without a fragment (RFC 8707 §2). */
  readonly resource?: string
  /** Space-separated, and for a session never more than was granted at login (RFC 6749 §6). */
  readonly scope?: string
}

/** What most requests wish for. */
const ANY: TokenWish = {}

/**
 * The wish in the one form that tokens are kept and looked up by: of a scope, order and repetition say nothing (RFC 6749
 * §3.3). It is judged here, before anything is spent on it.
 *
 * @throws FST_TOKEN_INVALID_PARAMETERS
 */
export function readWish ({ resource, scope }: { readonly resource?: unknown, readonly scope?: unknown }): TokenWish {
  if (resource === undefined && scope === undefined) return ANY
  if (resource !== undefined && !isResource(resource)) throw new InvalidParameters('resource must be an absolute URI without a fragment (RFC 8707 §2)')
  if (scope !== undefined && !isScope(scope)) throw new InvalidParameters('scope must be scope tokens with spaces between them (RFC 6749 §3.3)')
  const scopes = new Set(scope?.split(' ').filter((token) => token !== ''))
  return {
    ...(resource !== undefined && { resource }),
    ...(scopes.size > 0 && { scope: [...scopes].sort().join(' ') })
  }
}

/** RFC 8707 §2. Nothing is made of it but this: a service compares resources to the character. */
export function isResource (resource: unknown): resource is string {
  return typeof resource === 'string' && URL.canParse(resource) && !resource.includes('#') && !/\s/.test(resource)
}

function isScope (scope: unknown): scope is string {
  return typeof scope === 'string' && /^[\x20\x21\x23-\x5B\x5D-\x7E]*$/.test(scope)
}

export function isScopeToken (scope: unknown): scope is string {
  return isScope(scope) && /^\S+$/.test(scope)
}

/** The parameters of a request for it, where it has any. */
export function askedFor ({ resource, scope }: { readonly [Member in keyof TokenWish]: TokenWish[Member] | undefined }): Record<string, string> {
  return { ...(resource && { resource }), ...(scope && { scope }) }
}
