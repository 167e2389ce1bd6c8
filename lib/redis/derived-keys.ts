import { createHash, hkdfSync } from 'node:crypto'

/** Of which client something is, and the keys that it has. */
export interface KeySettings {
  readonly issuer: string
  readonly clientId: string
  /** `session.key`: the first seals, all open. */
  readonly keys: readonly Buffer[]
}

/** Characters of names and fingerprints. */
const NAME_LENGTH = 22

const NO_SALT = Buffer.alloc(0)

/** What is made of each key of `session.key` for one purpose of one client, and of one thing, if that is named. */
export function derivedKeys (settings: KeySettings, purpose: string, of = ''): Buffer[] {
  return settings.keys.map((key) => hkdf(key, NO_SALT, infoOf(settings, purpose, of)))
}

/** What the derivation is bound to, as it is for cookies. */
export function infoOf ({ issuer, clientId }: KeySettings, purpose: string, of = ''): string {
  return JSON.stringify(['fastify-token-management', 1, purpose, of, issuer, clientId])
}

/** RFC 5869. */
export function hkdf (input: Buffer, salt: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', input, salt, info, 32))
}

/** The name of what nobody can guess, as it stands in keys and messages: a hash. */
export function nameOf ({ issuer, clientId }: KeySettings, ...parts: readonly string[]): string {
  return short(createHash('sha256').update(JSON.stringify([issuer, clientId, ...parts])).digest())
}

export function short (digest: Buffer): string {
  return digest.toString('base64url').slice(0, NAME_LENGTH)
}
