/**
 * Whether tokens and secrets may travel to this address: https, or plain http that never leaves the machine.
 *
 * @see RFC 6749 §3.2, RFC 8252 §8.3 (loopback)
 */
export function isSecureUrl (url: string): boolean {
  if (!URL.canParse(url)) return false
  return new URL(url).protocol === 'https:' || isPlainLoopback(url)
}

/** Whether this is plain http on loopback: fine for development, and the only place where `Secure` cookies are left out. */
export function isPlainLoopback (url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'http:' && (hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname))
}

/** What credentials, tokens and browsers are sent to (RFC 8414 §2, RFC 9126 §5, OpenID Connect RP-Initiated Logout). */
const ENDPOINTS = ['token_endpoint', 'authorization_endpoint', 'revocation_endpoint', 'end_session_endpoint', 'pushed_authorization_request_endpoint']

/** The first endpoint in the metadata of an authorization server that nothing may be sent to, its aliases for mutual TLS (RFC 8705 §5) included. */
export function insecureEndpoint (metadata: { readonly mtls_endpoint_aliases?: Readonly<Record<string, unknown>> | undefined }): string | undefined {
  const aliases = Object.entries<unknown>(metadata.mtls_endpoint_aliases ?? {})
  const endpoints = [...Object.entries<unknown>(metadata), ...aliases.map(([name, url]) => [`mtls_endpoint_aliases.${name}`, url] as const)]
  const insecure = endpoints.find(([path, url]) => ENDPOINTS.includes(path.replace('mtls_endpoint_aliases.', '')) && url !== undefined && !isSecureUrl(String(url)))
  return insecure?.[0]
}
