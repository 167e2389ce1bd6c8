import { decodeJwt, type JWTPayload } from 'jose'
import { reset, silence, type Answer } from './answer.ts'
import type { Fault } from './fault-queue.ts'

type Headers = Record<string, string>

/**
 * What services and networks do to a client, by name.
 *
 * @example
 * provider.fault(faults.resetAfter()) // the next refresh is answered by nobody, and its refresh token is spent
 * provider.fault(faults.answer(503), Infinity) // an outage, until provider.clearFaults()
 */
export const faults = {
  /** The connection is reset before the request was processed. */
  resetBefore: (): Fault => ({ instead: nothing, deliver: reset }),
  /** The connection is reset after the tokens were rotated. */
  resetAfter: (): Fault => ({ deliver: reset }),
  /** No answer at all; not processed. */
  silence: (): Fault => ({ instead: nothing, deliver: silence }),

  /** Any answer, without processing: an object is sent as JSON, a text as HTML. */
  answer: (status: number, body: object | string = '', headers: Headers = {}): Fault => ({ instead: () => ({ status, body, headers }) }),
  /** Any OAuth error with any status, 200 included; not processed. */
  oauthError: (error: string, status = 400, headers: Headers = {}): Fault => faults.answer(status, { error }, headers),
  /** 429 or 503 with Retry-After (seconds, or a date), and no OAuth error in it. */
  retryAfter: (status: number, after: number | string): Fault => faults.answer(status, '', { 'retry-after': String(after) }),
  redirect: (location: string, status = 301): Fault => faults.answer(status, '', { location }),
  html: (status = 200): Fault => faults.answer(status, '<!doctype html><title>Sorry</title>'),
  empty: (status = 400): Fault => faults.answer(status),

  /** The same, but after the request was processed: `faults.afterProcessing(faults.html(502))`. */
  afterProcessing: ({ instead, ...rest }: Fault): Fault => ({ ...rest, ...instead && { alter: instead } }),

  /** Processed, and then a body that is no JSON. */
  notJson: (): Fault => ({ alter: (answer) => ({ ...answer, headers: { 'content-type': 'application/json' }, body: '{"access_token": "cut o' }) }),
  /** The token response with other members: `{ expires_in: 5 }`, `{ token_type: 'MAC' }`. */
  members: (members: Record<string, unknown>): Fault => onTokens((body) => ({ ...body, ...members })),
  /** The token response without these members. */
  without: (...names: string[]): Fault => onTokens((body) =>
    Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)))),
  /** The token response with other claims in its id_token, signed well: `{ sub: 'mallory' }`; `undefined` leaves one out. */
  idToken: (claims: JWTPayload): Fault => ({
    alter: async (answer, signer) => {
      if (typeof answer.body === 'string' || !('id_token' in answer.body) || typeof answer.body.id_token !== 'string') return answer
      return { ...answer, body: { ...answer.body, id_token: await signer.sign({ ...decodeJwt(answer.body.id_token), ...claims }) } }
    }
  }),

  /** Several faults on one request: the answers are altered in this order, the last delivery counts. */
  all: (...several: Fault[]): Fault => ({
    ...Object.assign({}, ...several),
    alter: async (answer, signer) => {
      for (const { alter } of several) if (alter) answer = await alter(answer, signer)
      return answer
    }
  })
}

function nothing (): Answer {
  return { status: 200, headers: {}, body: '' }
}

function onTokens (change: (body: object) => object): Fault {
  return {
    alter: (answer) => answer.status === 200 && typeof answer.body !== 'string' ? { ...answer, body: change(answer.body) } : answer
  }
}
