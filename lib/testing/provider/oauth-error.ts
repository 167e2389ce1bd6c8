import type { Answer } from './answer.ts'

/** A refusal as RFC 6749 §5.2 words it. */
export class OAuthError extends Error {
  readonly code: string
  readonly status: number
  readonly headers: Record<string, string>

  constructor (code: string, description: string, status = 400, headers: Record<string, string> = {}) {
    super(description)
    this.code = code
    this.status = status
    this.headers = headers
  }

  toAnswer (): Answer {
    return {
      status: this.status,
      headers: { 'cache-control': 'no-store', pragma: 'no-cache', ...this.headers },
      body: { error: this.code, error_description: this.message }
    }
  }
}
