import type { AuthorizationServer, Client } from 'oauth4webapi'

/** A request to the provider that is about to be sent. */
export interface OutgoingRequest {
  readonly clientId: string
  /** The provider. */
  readonly issuer: string
  /** Where it goes: the token, revocation or pushed authorization request endpoint. */
  readonly endpoint: string
  /** The `grant_type`; `undefined` where it is no token request. */
  readonly grant: string | undefined
}

/** The same, as the hook `tokenRequest` sees it, and may change it. */
export interface EditableRequest extends OutgoingRequest {
  /** What is sent beside the credentials of client and user: these are not shown, and not to be set. */
  readonly parameters: URLSearchParams
  /** The app's own headers. */
  readonly headers: Headers
}

/** The answer to it, as the hook `tokenResponse` sees it. */
export interface ProviderAnswer extends OutgoingRequest {
  readonly status: number
  readonly headers: Headers
  /** The parsed JSON; the text where it is none. Tokens are in it. */
  readonly body: unknown
}

/** What that hook makes of it; what is left out stays as it came. */
export interface MendedAnswer {
  readonly status?: number
  /** An RFC 6749 token response or error, as an object. */
  readonly body?: unknown
}

/** What a request is for shows in its body: RFC 6749 §4 wants a `grant_type`, RFC 7009 §2.1 a `token`, and RFC 9126 neither. */
export function outgoingRequest (server: AuthorizationServer, { client_id: clientId, use_mtls_endpoint_aliases: aliased }: Client, body: URLSearchParams): OutgoingRequest {
  const { issuer } = server
  const { token_endpoint: token, revocation_endpoint: revocation, pushed_authorization_request_endpoint: pushed } = { ...server, ...(aliased && server.mtls_endpoint_aliases) }
  const endpoint = String(body.has('grant_type') ? token : body.has('token') ? revocation : pushed)
  return { clientId, issuer, endpoint, grant: body.get('grant_type') ?? undefined }
}
