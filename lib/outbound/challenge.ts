/** What an API's 401 asks for: nothing that another token or proof would help, a renewed token, or its nonce in the proof. */
export type Demand = 'nothing' | 'renewal' | 'nonce'

/**
 * Reads `WWW-Authenticate` (RFC 6750 §3.1, RFC 9449 §9): another token helps where the API says that of this one, or says
 * nothing at all; not where it wants a stronger login (RFC 9470), or more scope.
 */
export function demandOf (challenge: string | string[] | undefined): Demand {
  const parameters = [challenge ?? []].flat().join(', ').matchAll(/([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]*))/g)
  const errors = [...parameters].flatMap(([, name, quoted, plain]) => name?.toLowerCase() === 'error' ? quoted ?? plain : [])
  if (errors.includes('use_dpop_nonce')) return 'nonce'
  return errors.length === 0 || errors.includes('invalid_token') ? 'renewal' : 'nothing'
}
