import { createHash, hkdfSync } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import { isRecord } from '../tokens/record.ts'

/** What was sealed. */
export interface Opened {
  readonly content: Record<string, unknown>
  /** It was sealed with a key that is no longer the first: to be sealed again before that key is removed. */
  readonly isOfOldKey: boolean
}

/** Seals what goes into the cookie, and opens what comes back. */
export interface Seal {
  /** What tells the keys from one another, in clear; the first is of the key that seals. */
  readonly keyIds: readonly string[]
  seal (content: Record<string, unknown>): string
  /** `undefined` for whatever does not open: broken, of another key, or none of ours. */
  open (sealed: string, log: FastifyBaseLogger): Opened | undefined
}

/** The end of what is sealed: its nonce, 24 random bytes, different each time. */
const NONCE_LENGTH = 32

/** secure-session's own limit is pushed back by every write, so it is not the one that counts: see `session.absoluteDuration`. */
const TEN_YEARS = 315_360_000

/** Whose seal it is, and what its keys are made of. */
export type SealSettings = Pick<CheckedOptions, 'issuer' | 'clientId'> & { readonly session: Pick<CheckedOptions['session'], 'keys'> }

/** What is sealed. One seal does not open what another one has sealed, though both come from one `session.key`. */
export type SealPurpose = 'session' | 'record' | 'login' | 'logout'

/**
 * @fastify/secure-session as a seal (libsodium's secretbox), in a context of its own, so that no route pays for its hooks.
 * What seals is derived from `session.key` for this one purpose, so that what the app seals with the same key itself, or
 * another registration, issuer or client, opens nothing here.
 *
 * @param name - of the cookie, or the prefix of its name.
 */
export async function createSeal (fastify: FastifyInstance, { session: { keys }, issuer, clientId }: SealSettings, purpose: SealPurpose, name: string): Promise<Seal> {
  const info = JSON.stringify(['fastify-token-management', 1, purpose, name, issuer, clientId])
  const derived = keys.map((key) => Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), info, 32))) // RFC 5869
  const sessionName = `tokens:${purpose}:${name}`
  let seal: Seal | undefined
  await fastify.register(async (context) => {
    await context.register(secureSession, { key: derived, sessionName, cookieName: sessionName, expiry: TEN_YEARS })
    seal = sealOf(context, derived.map(keyIdOf), sessionName)
  })
  if (seal === undefined) throw new Error('@fastify/secure-session could not be registered')
  return seal
}

function sealOf (context: FastifyInstance, keyIds: readonly string[], sessionName: string): Seal {
  return {
    keyIds,
    // secure-session's "cipher;nonce" in base64 would be percent-encoded in a cookie, a third of it for nothing.
    seal (content) {
      const sealed = context.encodeSecureSession(context.createSecureSession({ ...content }), sessionName)
      return sealed.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '').replace(';', '.')
    },
    open (sealed, log) {
      const end = sealed.length - NONCE_LENGTH - 1
      const [cipher, nonce] = [sealed.slice(0, end), sealed.slice(end + 1)]
      if (sealed.charAt(end) !== '.' || !isAsEncoded(nonce) || !isAsEncoded(cipher)) return undefined
      const session = context.decodeSecureSession(`${cipher};${nonce}`, log, sessionName)
      const content: unknown = session?.data()
      return isRecord(content) ? { content, isOfOldKey: session?.changed === true } : undefined
    }
  }
}

/**
 * Whether it is base64url as an encoder writes it: decoders skip what is no base64, and the last bits that make no byte (RFC 4648
 * §3.5), so one and the same session would open under any number of texts.
 */
function isAsEncoded (text: string): boolean {
  return Buffer.from(text, 'base64url').toString('base64url') === text
}

/** The nonce of what is sealed: as hard to guess as the rest of it. */
export function nonceOf (sealed: string): string {
  return sealed.slice(-NONCE_LENGTH)
}

/** A few bits of a hash: enough to tell a handful of keys apart, and of no use to anybody. */
function keyIdOf (key: Buffer): string {
  return createHash('sha256').update('fastify-token-management key id').update(key).digest('base64url').slice(0, 4)
}
