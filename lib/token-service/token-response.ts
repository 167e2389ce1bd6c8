import { isRecord } from '../tokens/record.ts'
import { isRefreshToken } from '../tokens/token-answer.ts'
import { isSecret, masked } from './secrets.ts'

/** As much of what the provider says as goes into a log. */
const MOST_DESCRIPTION = 300

/** The token service answered, and the answer is not a token that can be used. It holds no token and no secret, and of the body what says why. */
export class AnswerError extends Error {
  override name = 'AnswerError'
  readonly status: number
  /** The `error` of RFC 6749 §5.2, where the answer has one: a code, and no phrase. */
  readonly error: string | undefined
  /** What the provider says of it, for the log and never for a browser: cut, and with everything masked that is or may be a secret. */
  readonly description: string | undefined
  /** Whether the answer is an error by its own word, be it in a 200 and be it without a code. */
  readonly isRefusal: boolean
  /** Seconds, from Retry-After. */
  readonly retryAfter: number | undefined
  /** The id_token is of another issuer, subject or audience than the session's (OpenID Connect Core §12.2). */
  readonly wrongIdentity: boolean
  /** The token is of another type than asked for (RFC 6749 §7.1, RFC 9449 §5). */
  readonly wrongTokenType: boolean
  readonly #refreshToken: string | undefined

  constructor (message: string, { status, error, description, isRefusal = false, retryAfter, wrongIdentity = false, wrongTokenType = false, refreshToken, cause }: AnswerDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = status
    this.error = error
    this.description = description
    this.isRefusal = isRefusal
    this.retryAfter = retryAfter
    this.wrongIdentity = wrongIdentity
    this.wrongTokenType = wrongTokenType
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
  description?: string | undefined
  isRefusal?: boolean
  retryAfter?: number | undefined
  wrongIdentity?: boolean
  wrongTokenType?: boolean
  refreshToken?: string | undefined
  cause?: unknown
}

/** An answer whose body was read. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** The JSON object in it; anything else as it came. */
  readonly body: unknown
}

/**
 * The JSON object of a success; `undefined` where there is none. An `error` counts with whatever status it comes, but one
 * that is no code says nothing against tokens that came along.
 *
 * @param secrets - what the request held that nobody may see.
 * @throws AnswerError for an error, and for any other status.
 */
export function readAnswer ({ status, headers, body }: Answer, secrets: readonly string[]): Record<string, unknown> | undefined {
  const members = isRecord(body) ? body : undefined
  const issued = [members?.access_token, members?.refresh_token, members?.id_token].filter((token) => typeof token === 'string' && token !== '').map(String)
  const hidden = [...secrets, ...issued]
  const error = readErrorCode(members?.error, hidden)
  const isRefusal = error !== undefined || status >= 400 || (issued.length === 0 && Boolean(members?.error || members?.errors))
  if (!isRefusal && status >= 200 && status < 300) return members
  throw new AnswerError(error ?? (status < 300 ? 'the answer is an error without a code' : `status ${status}`), {
    status,
    error,
    description: readDescription(members ?? {}, error, hidden),
    isRefusal,
    retryAfter: readRetryAfter(headers)
  })
}

/** What an answer brought that cannot be used otherwise. */
export function salvageable (body: Record<string, unknown> | undefined): string | undefined {
  const refreshToken = body?.refresh_token
  return typeof refreshToken === 'string' && isRefreshToken(refreshToken) ? refreshToken : undefined
}

/** Only a code is one (RFC 6749 §5.2, but for the space in it): a service might put anything there. */
function readErrorCode (error: unknown, secrets: readonly string[]): string | undefined {
  return typeof error === 'string' && /^[\x21\x23-\x5B\x5D-\x7E]{1,64}$/.test(error) && !isSecret(error, secrets) ? error : undefined
}

function readDescription ({ error, error_description: description = error }: Record<string, unknown>, code: string | undefined, secrets: readonly string[]): string | undefined {
  return typeof description === 'string' && description !== code ? masked(description, secrets, MOST_DESCRIPTION) || undefined : undefined
}

/** Retry-After in its two forms: seconds or a date (RFC 9110 §10.2.3). */
function readRetryAfter (headers: Headers): number | undefined {
  const header = headers.get('retry-after')
  if (header === null) return undefined
  // Date.parse takes 12.5 for a day in December.
  const seconds = /[a-z]/i.test(header) ? (Date.parse(header) - Date.now()) / 1000 : Number.parseFloat(header)
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}
