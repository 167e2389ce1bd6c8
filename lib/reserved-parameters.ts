/** What a request says of the client, the grant and the user: this library's own to say, and never a matter of configuration. */
const OWN = new Set([
  'grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type',
  'code', 'code_verifier', 'redirect_uri', 'refresh_token',
  'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
  'token', 'token_type_hint',
  'response_type', 'response_mode', 'state', 'nonce', 'code_challenge', 'code_challenge_method', 'request', 'request_uri', 'dpop_jkt'
])

/** Whether nobody but this library sets that parameter. */
export function isReserved (parameter: string): boolean {
  return OWN.has(parameter)
}
