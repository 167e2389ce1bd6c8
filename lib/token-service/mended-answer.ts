import type { Options } from '../options/schema.ts'
import type { OutgoingRequest } from '../tokens/outgoing-request.ts'
import { isRecord } from '../tokens/record.ts'
import { type Answer, AnswerError, salvageable } from './token-response.ts'
import { within } from './within.ts'

/**
 * The answer to a request, as the app's hook `tokenResponse` has mended it.
 *
 * @param timeout - seconds for the hook.
 * @throws AnswerError where the hook fails: the answer may mean something else without it, and only its refresh token is kept.
 */
export async function mendedAnswer (response: Response, request: OutgoingRequest, hook: Options['tokenResponse'], timeout: number): Promise<Answer> {
  const { status, headers } = response
  const text = await response.text()
  const answer = { status, headers, body: parse(text) }
  if (hook === undefined) return answer
  try {
    const mended = await within(timeout, 'tokenResponse', async () => await hook({ ...request, status, headers: new Headers(headers), body: parse(text) }))
    const { status: mendedStatus = status, body = answer.body } = mended ?? {}
    if (!Number.isInteger(mendedStatus)) throw new TypeError('tokenResponse gives a status that is no number')
    return { status: mendedStatus, headers, body }
  } catch (error) {
    const refreshToken = response.ok && isRecord(answer.body) ? salvageable(answer.body) : undefined
    throw new AnswerError('the hook tokenResponse has failed, see the cause', { status, refreshToken, cause: error })
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
