import * as oauth from 'oauth4webapi'
import { type Identity, isSameIdentity } from '../tokens/identity.ts'
import { isRecord } from '../tokens/record.ts'
import type { TokenResponse } from '../tokens/from-response.ts'
import { type Dropped, readTokenAnswer, type TokenAnswer, tokenProblem } from '../tokens/token-answer.ts'
import type { AccessToken } from '../tokens/token-set.ts'
import { AnswerError, salvageable } from './token-response.ts'

/** An answer of success. */
export interface Success {
  readonly status: number
  readonly body: Record<string, unknown> | undefined
}

/** What was asked for. */
export interface Expected {
  /** Another is never used in its place (RFC 6749 §7.1, RFC 9449 §5). */
  readonly tokenType: AccessToken['tokenType']
  /** The id_token was asked for, so that it must be there and be right; else it is a by-product. */
  readonly idToken: 'required' | 'byProduct'
  /** Whose the session is. */
  readonly identity?: Identity | undefined
  /** Rejects where a by-product is not signed by the provider, or nobody can tell. */
  readonly checkSignature?: ((idToken: string) => Promise<unknown>) | undefined
}

/** What one of oauth4webapi's `process…Response` functions does. */
export type Process = (response: Response) => Promise<oauth.TokenEndpointResponse>

/**
 * Judges the answer of a token endpoint. By-products that make no sense are left out and named, an id_token that does not
 * validate among them; only one of another identity is a reason to refuse the tokens (OpenID Connect Core §12.2).
 *
 * @throws AnswerError
 */
export async function judgeTokens (success: Success, process: Process, { tokenType, idToken, identity, checkSignature }: Expected): Promise<{ response: TokenResponse, dropped: Dropped[] }> {
  const { answer, dropped } = readTokenAnswer(success.body ?? {})
  const refuse = (problem: string, details = {}) => new AnswerError(problem, { status: success.status, refreshToken: salvageable(success.body), ...details })
  if (typeof answer.token_type === 'string' && answer.token_type.toLowerCase() !== tokenType.toLowerCase()) {
    throw refuse(`the token_type is not the ${tokenType} that was asked for`, { wrongTokenType: true })
  }
  const problem = tokenProblem(answer)
  if (problem !== undefined) throw refuse(problem)
  if (idToken === 'required') return { response: await judgeAnswer(success, process, 200, answer), dropped }

  const { id_token: byProduct, ...tokens } = answer
  const response = await judgeAnswer(success, process, 200, tokens)
  if (byProduct === undefined) return { response, dropped }
  if (!isSameIdentity(identity, byProduct)) throw refuse('the id_token is of another identity than the session', { wrongIdentity: true })
  try {
    const whole = await judgeAnswer(success, process, 200, answer)
    await checkSignature?.(byProduct)
    return { response: whole, dropped }
  } catch (error) {
    if (error instanceof AnswerError && error.wrongIdentity) throw error
    return { response, dropped: [...dropped, { member: 'id_token', problem: error instanceof Error ? error.message : 'unknown' }] }
  }
}

/**
 * Judges an answer by one of oauth4webapi's functions. To that it comes with the status that the standard wants: any other
 * of success is as good.
 *
 * @throws AnswerError
 */
export async function judgeAnswer<Result> ({ status, body }: Success, process: (answer: Response) => Promise<Result>, expectedStatus = 200, members: Record<string, unknown> | TokenAnswer | undefined = body): Promise<Result> {
  if (body === undefined) throw new AnswerError('the answer is not a JSON object', { status })
  try {
    return await process(Response.json(members, { status: expectedStatus }))
  } catch (error) {
    // oauth4webapi's causes hold the whole answer, its tokens included: only the message goes on.
    const message = error instanceof Error ? error.message : 'it could not be read'
    throw new AnswerError(message, { status, refreshToken: salvageable(body), wrongIdentity: isWrongIdentity(error) })
  }
}

function isWrongIdentity (error: unknown): boolean {
  if (!(error instanceof oauth.OperationProcessingError) || !isRecord(error.cause)) return false
  if (error.code === oauth.JSON_ATTRIBUTE_COMPARISON) return error.cause.attribute === 'sub'
  return error.code === oauth.JWT_CLAIM_COMPARISON && ['iss', 'aud', 'azp', 'sub'].includes(String(error.cause.claim))
}
