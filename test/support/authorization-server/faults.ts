import { decodeJwt, type JWTPayload } from 'jose'
import { drip, encoded, headersThenSilence, reset, silence, type Answer } from './answer.ts'
import type { Fault } from './fault-queue.ts'
import type { Forgery } from './forgeries.ts'

type Headers = Record<string, string>

/** What services and networks do to a client, by name: `server.fault(faults.resetAfter())`. */
export const faults = {
  /** The connection is reset before the request was processed. */
  resetBefore: (): Fault => ({ instead: nothing, deliver: reset }),
  /** The connection is reset after the tokens were rotated. */
  resetAfter: (): Fault => ({ deliver: reset }),
  /** No answer at all; not processed. */
  silence: (): Fault => ({ instead: nothing, deliver: silence }),
  /** Processed, the headers are sent, and then nothing. */
  headersThenSilence: (): Fault => ({ deliver: headersThenSilence }),
  /** Processed, and the answer comes a byte at a time. */
  drip: (milliseconds = 10): Fault => ({ deliver: drip(milliseconds) }),

  /** Processed, and the answer is sent in a content coding, done by this function. */
  coded: (coding: string, encode: (body: Buffer) => Buffer): Fault => ({ deliver: encoded(encode, { 'content-encoding': coding }) }),

  /** Any answer, without processing. */
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
  /** Processed, and a good answer, but in 5 MB. */
  huge: (bytes = 5 * 1024 * 1024): Fault => faults.members({ padding: 'x'.repeat(bytes) }),
  /** The token response with other members: `{ expires_in: '300' }`, `{ token_type: 'bEARER' }`. */
  members: (members: Record<string, unknown>): Fault => onTokens((body) => ({ ...body, ...members })),
  /** The token response without these members. */
  without: (...names: string[]): Fault => onTokens((body) =>
    Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)))),
  /** The token response with other claims in its id_token, signed well: `{ sub: 'mallory' }`; `undefined` leaves one out. */
  idToken: (claims: JWTPayload): Fault => faults.forged((payload, signer) => signer.sign({ ...payload, ...claims })),
  /** The token response with an id_token that says the same, and is signed like this. */
  forged: (forge: Forgery): Fault => ({
    alter: async (answer, signer) => {
      if (typeof answer.body === 'string' || !('id_token' in answer.body) || typeof answer.body.id_token !== 'string') return answer
      return { ...answer, body: { ...answer.body, id_token: await forge(decodeJwt(answer.body.id_token), signer) } }
    }
  }),

  /** For the authorization endpoint: another parameter in the redirect, `null` for none. */
  redirectParameter: (name: string, value: string | null): Fault => ({
    alter: (answer) => {
      const location = new URL(answer.headers.location ?? '')
      if (value === null) location.searchParams.delete(name)
      else location.searchParams.set(name, value)
      return { ...answer, headers: { ...answer.headers, location: location.href } }
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
