import { decodeJwt } from 'jose'
import type { Fault } from '../../../lib/testing/provider/fault-queue.ts'
import { faults as kit } from '../../../lib/testing/provider/faults.ts'
import { drip, encoded, headersThenSilence } from './deliveries.ts'
import type { Forgery } from './forgeries.ts'

/** Those of the kit, and what only tests of this plugin want to see. */
export const faults = {
  ...kit,
  /** Processed, the headers are sent, and then nothing. */
  headersThenSilence: (): Fault => ({ deliver: headersThenSilence }),
  /** Processed, and the answer comes a byte at a time. */
  drip: (milliseconds = 10): Fault => ({ deliver: drip(milliseconds) }),
  /** Processed, and the answer is sent in a content coding, done by this function. */
  coded: (coding: string, encode: (body: Buffer) => Buffer): Fault => ({ deliver: encoded(encode, { 'content-encoding': coding }) }),
  /** Processed, and a good answer, but in 5 MB. */
  huge: (bytes = 5 * 1024 * 1024): Fault => kit.members({ padding: 'x'.repeat(bytes) }),
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
  })
}
