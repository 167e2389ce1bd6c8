import type { FastifyRequest } from 'fastify'
import { LoginFailed } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { revokeTokens } from '../request/session-end.ts'
import { AnswerError } from '../token-service/token-response.ts'
import { namedClaims } from '../tokens/claims.ts'
import type { TokenSet } from '../tokens/token-set.ts'

/**
 * The tokens of a login, with what the UserInfo endpoint says of their user, as far as the app keeps it and the id_token has not said it.
 * Where that cannot be had the login goes on without: its code is spent. Where it is about somebody else nobody is logged in.
 *
 * @param names - of `session.claims`.
 * @throws FST_TOKEN_LOGIN_FAILED
 */
export async function withUserInfo (provider: Provider, request: FastifyRequest, tokens: TokenSet, names: readonly string[]): Promise<TokenSet> {
  const { identity } = tokens
  if (typeof identity?.sub !== 'string') return tokens // a login that has asked for no id_token: nobody could tell whose it is
  try {
    const told = await provider.loginRequests.userInfo(tokens, identity.sub, provider.backchannelFor(request.server))
    return { ...tokens, claims: { ...namedClaims(told, names), ...tokens.claims } }
  } catch (error) {
    if (error instanceof AnswerError && error.wrongIdentity) {
      await revokeTokens(provider, request, tokens)
      throw new LoginFailed('the UserInfo endpoint has told of somebody else than the id_token', { cause: error })
    }
    request.log.warn({ err: error }, 'The UserInfo endpoint has told nothing that could be used; the login goes on with what the id_token says')
    return tokens
  }
}
