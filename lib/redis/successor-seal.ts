import type { SharedCoordinatorSettings } from '../tokens/shared-coordinator.ts'
import { decrypt, encrypt } from './aes-gcm.ts'
import { derivedKeys, hkdf, infoOf, nameOf, short } from './derived-keys.ts'

/** Where and how the successors of one client lie in Redis: nobody opens one without both `session.key` and what was spent for it. */
export class SuccessorSeal {
  readonly #settings: SharedCoordinatorSettings
  readonly #salts: readonly Buffer[]

  constructor (settings: SharedCoordinatorSettings) {
    this.#settings = settings
    this.#salts = derivedKeys(settings, 'successor')
  }

  /** The name of a session, or of anything else of this client, as it stands in keys and messages. */
  nameOf (id: string): string {
    return nameOf(this.#settings, id)
  }

  /** What tells a secret from others: a word for each key. */
  fingerprintOf (secret: string): string {
    return this.#keysOf(secret, 'fingerprint').map(short).join(' ')
  }

  async seal (secret: string, content: Buffer): Promise<Buffer> {
    const [key = Buffer.alloc(0)] = this.#keysOf(secret, 'successor')
    return await encrypt(key, content)
  }

  /** `undefined` for what another secret or an unknown key has sealed. */
  async open (secret: string, sealed: Buffer): Promise<Buffer | undefined> {
    return (await decrypt(this.#keysOf(secret, 'successor'), sealed))?.content
  }

  /** RFC 5869: the secret is what goes in, `session.key` the salt. */
  #keysOf (secret: string, purpose: string): Buffer[] {
    return this.#salts.map((salt) => hkdf(Buffer.from(secret), salt, infoOf(this.#settings, purpose)))
  }
}
