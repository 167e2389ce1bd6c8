/**
 * Whether tokens and secrets may travel to this address: https, plain http that never leaves the machine, or what the app
 * allows all the same.
 *
 * @param allowed - the origins of `allowInsecureRequests`.
 * @see RFC 6749 §3.2, RFC 8252 §8.3 (loopback)
 */
export function isSecureUrl (url: string, allowed: readonly string[]): boolean {
  return isEncryptedUrl(url, allowed) || isPlainLoopback(url)
}

/** The same for a provider that is elsewhere: what it says of loopback would be on this machine. */
export function isEncryptedUrl (url: string, allowed: readonly string[]): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, origin } = new URL(url)
  return protocol === 'https:' || allowed.includes(origin)
}

/** An origin that is plain http, spelled as origins are. */
export function isPlainOrigin (origin: string): boolean {
  return URL.canParse(origin) && new URL(origin).protocol === 'http:' && new URL(origin).origin === origin
}

/**
 * Whether this is plain http on loopback, by its name: `http://0x7f.1` and others that only become an address of loopback
 * as they are parsed are meant to look like something else.
 */
function isPlainLoopback (url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  const isLoopback = hostname === '[::1]' || /^(.+\.)?localhost$|^127(\.\d+){3}$/.test(hostname) // RFC 6761 §6.3
  return protocol === 'http:' && isLoopback && url.toLowerCase().startsWith(`http://${hostname}`)
}

/** What credentials, tokens and browsers are sent to, and where keys come from (RFC 8414 §2, RFC 9126 §5, OpenID Connect Core §5.3, RP-Initiated Logout). */
const ENDPOINTS = ['token_endpoint', 'authorization_endpoint', 'revocation_endpoint', 'end_session_endpoint', 'pushed_authorization_request_endpoint', 'userinfo_endpoint', 'jwks_uri']

/** The first endpoint in the metadata of an authorization server that nothing may be sent to, its aliases for mutual TLS (RFC 8705 §5) included. */
export function insecureEndpoint (metadata: { readonly mtls_endpoint_aliases?: Readonly<Record<string, unknown>> | undefined }, isSecure: (url: string) => boolean): { path: string, url: string } | undefined {
  const aliases = Object.entries<unknown>(metadata.mtls_endpoint_aliases ?? {})
  const endpoints = [...Object.entries<unknown>(metadata), ...aliases.map(([name, url]) => [`mtls_endpoint_aliases.${name}`, url] as const)]
  const insecure = endpoints.find(([path, url]) => ENDPOINTS.includes(path.replace('mtls_endpoint_aliases.', '')) && url !== undefined && !(typeof url === 'string' && isSecure(url)))
  return insecure && { path: insecure[0], url: String(insecure[1]) }
}
