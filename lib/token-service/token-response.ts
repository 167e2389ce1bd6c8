import * as oauth from 'oauth4webapi'
import type { AccessToken } from '../tokens/token-set.ts'
import { isRecord } from '../tokens/record.ts'
import type { TokenResponse } from '../tokens/from-response.ts'

/** The token service answered, and the answer is not a token that can be used. It holds no part of the body but the OAuth error. */
export class AnswerError extends Error {
  override name = 'AnswerError'
  readonly status: number
  /** The `error` of RFC 6749 §5.2, where the answer has one. */
  readonly error: string | undefined
  /** What the provider says to whoever runs this app, with what is or may be secret masked. Never for the browser. */
  readonly description: string | undefined
  /** Seconds, from Retry-After. */
  readonly retryAfter: number | undefined
  /** The id_token is of another issuer, subject or audience than the session's (OpenID Connect Core §12.2). */
  readonly wrongIdentity: boolean
  readonly #refreshToken: string | undefined

  constructor (message: string, { status, error, retryAfter, wrongIdentity = false, refreshToken }: AnswerDetails) {
    super(message)
    this.status = status
    this.error = error
    this.description = undefined
    this.retryAfter = retryAfter
    this.wrongIdentity = wrongIdentity
    this.#refreshToken = refreshToken
  }

  /** The refresh token of an answer that is otherwise of no use: the old one is spent, so this is the session now. Private, so that no logger prints it. */
  salvagedRefreshToken (): string | undefined {
    return this.#refreshToken
  }
}

interface AnswerDetails {
  status: number
  error?: string | undefined
  retryAfter?: number | undefined
  wrongIdentity?: boolean
  refreshToken?: string | undefined
}

/** What was asked for: another is never used in its place (RFC 6749 §7.1, RFC 9449 §5). */
type TokenType = AccessToken['tokenType']

/** What one of oauth4webapi's `process…Response` functions does. */
export type Process = (response: Response) => Promise<oauth.TokenEndpointResponse>

/**
 * Judges the answer of a token endpoint: an `error` counts with whatever status it comes, and what oauth4webapi would
 * refuse though the tokens were issued (a negative `expires_in`, members that are null) is mended before it judges the rest.
 *
 * @throws AnswerError
 */
export async function judgeTokenResponse (response: Response, process: Process, tokenType: TokenType): Promise<TokenResponse> {
  return await judgeAnswer(response, async (answer) => {
    const result = await process(answer)
    if (result.token_type !== tokenType.toLowerCase()) throw new Error(`the token_type is not the ${tokenType} that was asked for`)
    return result
  })
}

/**
 * Judges an answer by one of oauth4webapi's functions. To that it comes with the status that the standard wants: any other
 * of success is as good.
 *
 * @throws AnswerError
 */
export async function judgeAnswer<Result> (response: Response, process: (answer: Response) => Promise<Result>, status = 200): Promise<Result> {
  const body = await readAnswer(response)
  if (body === undefined) throw new AnswerError('the answer is not a JSON object', { status: response.status })
  const refreshToken = typeof body.refresh_token === 'string' && body.refresh_token !== '' ? body.refresh_token : undefined
  try {
    return await process(Response.json(mend(body), { status }))
  } catch (error) {
    // oauth4webapi's causes hold the whole answer, its tokens included: only the message goes on.
    const message = error instanceof Error ? error.message : 'it could not be read'
    throw new AnswerError(message, { status: response.status, refreshToken, wrongIdentity: isWrongIdentity(error) })
  }
}

/**
 * The JSON object of a success; `undefined` where there is none.
 *
 * @throws AnswerError for an OAuth error, and for any other status.
 */
export async function readAnswer (response: Response): Promise<Record<string, unknown> | undefined> {
  const { status } = response
  const body = parseObject(await response.text())
  const error = typeof body?.error === 'string' && body.error !== '' ? readErrorCode(body.error) : undefined
  if (error !== undefined || !response.ok) {
    throw new AnswerError(error ?? `status ${status}`, { status, error, retryAfter: readRetryAfter(response) })
  }
  return body
}

function mend ({ expires_in: expiresIn, ...body }: Record<string, unknown>): Record<string, unknown> {
  const filled = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== ''))
  const lifetime = typeof expiresIn === 'string' ? Number.parseFloat(expiresIn) : expiresIn
  return typeof lifetime === 'number' && Number.isFinite(lifetime) ? { ...filled, expires_in: Math.max(0, lifetime) } : filled
}

function parseObject (text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return isRecord(body) ? body : undefined
  } catch {
    return undefined
  }
}

/** Only what looks like a code is passed on: a service might put anything there. */
function readErrorCode (error: string): string {
  return /^[\w.-]{1,64}$/.test(error) ? error : 'an unreadable error'
}

/** Retry-After in its two forms: seconds or a date (RFC 9110 §10.2.3). */
function readRetryAfter (response: Response): number | undefined {
  const header = response.headers.get('retry-after')
  if (header === null) return undefined
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}

function isWrongIdentity (error: unknown): boolean {
  if (!(error instanceof oauth.OperationProcessingError) || error.code !== oauth.JWT_CLAIM_COMPARISON) return false
  return isRecord(error.cause) && ['iss', 'aud', 'azp', 'sub'].includes(String(error.cause.claim))
}
