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
