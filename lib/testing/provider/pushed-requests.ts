import { randomBytes } from 'node:crypto'
import type { Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'

/** Seconds that a request_uri is good for. */
export const pushedLifetime = 60

/** Authorization requests that were pushed, and wait for their browser (RFC 9126). */
export class PushedRequests {
  readonly #clock: () => number
  readonly #requests = new Map<string, { form: Form, expiresAt: number }>()

  constructor (clock: () => number) {
    this.#clock = clock
  }

  add (form: Form): string {
    const uri = `urn:ietf:params:oauth:request_uri:${randomBytes(32).toString('base64url')}`
    this.#requests.set(uri, { form, expiresAt: this.#clock() + pushedLifetime })
    return uri
  }

  /** What was pushed under this name, once (RFC 9126 §7.3). */
  take (uri: string): Form {
    const pushed = this.#requests.get(uri)
    this.#requests.delete(uri)
    if (!pushed || pushed.expiresAt <= this.#clock()) throw new OAuthError('invalid_request_uri', 'the request_uri is unknown, used or expired')
    return pushed.form
  }
}
