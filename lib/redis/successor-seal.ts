import { createHash, hkdfSync, webcrypto } from 'node:crypto'
import type { SharedCoordinatorSettings } from '../tokens/shared-coordinator.ts'

const { subtle } = webcrypto
const IV_LENGTH = 12

/** Characters of names and fingerprints. */
const NAME_LENGTH = 22

/** Where and how the successors of one client lie in Redis: nobody opens one without both `session.key` and what was spent for it. */
export class SuccessorSeal {
  readonly #settings: SharedCoordinatorSettings
  readonly #salts: readonly Buffer[]

  constructor (settings: SharedCoordinatorSettings) {
    this.#settings = settings
    this.#salts = settings.keys.map((key) => hkdf(key, Buffer.alloc(0), this.#info('successor')))
  }

  /** The name of a session, or of anything else of this client, as it stands in keys and messages. */
  nameOf (id: string): string {
    const { issuer, clientId } = this.#settings
    return createHash('sha256').update(JSON.stringify([issuer, clientId, id])).digest('base64url').slice(0, NAME_LENGTH)
  }

  /** What tells a secret from others: a word for each key. */
  fingerprintOf (secret: string): string {
    const info = this.#info('fingerprint')
    return this.#salts.map((salt) => hkdf(Buffer.from(secret), salt, info).toString('base64url').slice(0, NAME_LENGTH)).join(' ')
  }

  async seal (secret: string, content: Buffer): Promise<Buffer> {
    const [salt = Buffer.alloc(0)] = this.#salts
    const iv = webcrypto.getRandomValues(Buffer.alloc(IV_LENGTH))
    const sealed = await subtle.encrypt({ name: 'AES-GCM', iv }, await this.#keyOf(secret, salt), content)
    return Buffer.concat([iv, Buffer.from(sealed)])
  }

  /** `undefined` for what another secret or an unknown key has sealed. */
  async open (secret: string, sealed: Buffer): Promise<Buffer | undefined> {
    const iv = sealed.subarray(0, IV_LENGTH)
    for (const salt of this.#salts) {
      try {
        return Buffer.from(await subtle.decrypt({ name: 'AES-GCM', iv }, await this.#keyOf(secret, salt), sealed.subarray(IV_LENGTH)))
      } catch {
        // Of the next key, perhaps.
      }
    }
    return undefined
  }

  /** RFC 5869: the secret is what goes in, `session.key` the salt. */
  async #keyOf (secret: string, salt: Buffer): Promise<webcrypto.CryptoKey> {
    return await subtle.importKey('raw', hkdf(Buffer.from(secret), salt, this.#info('successor')), 'AES-GCM', false, ['encrypt', 'decrypt'])
  }

  #info (purpose: string): string {
    const { issuer, clientId } = this.#settings
    return JSON.stringify(['fastify-token-management', 1, purpose, '', issuer, clientId])
  }
}

function hkdf (input: Buffer, salt: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', input, salt, info, 32))
}
