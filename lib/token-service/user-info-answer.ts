import { AnswerError } from './token-response.ts'

/**
 * The answer of a UserInfo endpoint, as those of the token service are: what its challenge says (RFC 6750 §3, RFC 9449 §9) stands in the body.
 *
 * @throws AnswerError for a JWT (OpenID Connect Core §5.3.2).
 */
export function userInfoAnswer (response: Response): Response {
  const { status, headers } = response
  if (headers.get('content-type')?.includes('application/jwt')) {
    throw new AnswerError('the answer is a JWT, and not JSON: leave userinfo_signed_response_alg and userinfo_encrypted_response_alg out of the registration of this client at the provider', { status })
  }
  const challenge = headers.get('www-authenticate') ?? ''
  const [, error] = /\berror="?(use_dpop_nonce)\b/.exec(challenge) ?? /\berror="?([^",\s]+)/.exec(challenge) ?? []
  return error === undefined ? response : Response.json({ error }, { status })
}
