import secureSession from '@fastify/secure-session'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { isRecord } from '../token-set.ts'

/** Seals what goes into the cookie, and opens what comes back. */
export interface CookieSeal {
  seal (content: Record<string, unknown>): string
  /** `undefined` for whatever does not open: broken, of another key, or none of ours. */
  open (sealed: string, log: FastifyBaseLogger): Record<string, unknown> | undefined
}

/** secure-session's own limit is pushed back by every write, so it is not the one that counts: see `session.absoluteDuration`. */
const TEN_YEARS = 315_360_000

/**
 * @fastify/secure-session as a seal (libsodium's secretbox): with keys of our own, in a context of its own, so that no
 * route pays for its hooks; without keys, with those of the app's own registration.
 */
export async function cookieSeal (fastify: FastifyInstance, keys: Buffer[] | undefined, sessionName: string): Promise<CookieSeal> {
  if (keys === undefined) return sealOf(fastify)
  let seal: CookieSeal | undefined
  await fastify.register(async (context) => {
    await context.register(secureSession, { key: keys, sessionName, cookieName: sessionName, expiry: TEN_YEARS })
    seal = sealOf(context, sessionName)
  })
  if (seal === undefined) throw new Error('@fastify/secure-session could not be registered')
  return seal
}

function sealOf (context: FastifyInstance, sessionName?: string): CookieSeal {
  return {
    // secure-session's "cipher;nonce" in base64 would be percent-encoded in a cookie, a third of it for nothing.
    seal (content) {
      const sealed = context.encodeSecureSession(context.createSecureSession({ ...content }), sessionName)
      return sealed.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '').replace(';', '.')
    },
    open (sealed, log) {
      const content: unknown = context.decodeSecureSession(sealed.replace('.', ';'), log, sessionName)?.data()
      return isRecord(content) ? content : undefined
    }
  }
}
