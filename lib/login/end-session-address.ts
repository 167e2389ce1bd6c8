import type { AuthorizationServer } from 'oauth4webapi'

/** Servers and proxies refuse addresses that are much longer. */
const MAX_BYTES = 2048

export interface EndSession {
  readonly clientId: string
  readonly postLogoutRedirectUri?: string | undefined
  readonly idToken: string | undefined
}

/**
 * Where a browser ends its session at the provider (OpenID Connect RP-Initiated Logout §2); `undefined` where the provider
 * has no such place. The hint is left out where it makes too long an address of it: then the provider may ask.
 */
export function endSessionAddress ({ end_session_endpoint: endpoint }: AuthorizationServer, { clientId, postLogoutRedirectUri, idToken }: EndSession): string | undefined {
  if (endpoint === undefined) return undefined
  const address = new URL(endpoint)
  address.searchParams.set('client_id', clientId)
  if (postLogoutRedirectUri !== undefined) address.searchParams.set('post_logout_redirect_uri', postLogoutRedirectUri)
  const withoutHint = address.href
  if (idToken !== undefined) address.searchParams.set('id_token_hint', idToken)
  return address.href.length > MAX_BYTES ? withoutHint : address.href
}
