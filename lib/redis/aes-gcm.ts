import { webcrypto } from 'node:crypto'

const { subtle } = webcrypto
const IV_LENGTH = 12

/** @param about - what it is opened with again, and stands nowhere in it: its name, say. */
export async function encrypt (key: Buffer, content: Buffer, about = ''): Promise<Buffer> {
  const iv = webcrypto.getRandomValues(Buffer.alloc(IV_LENGTH))
  const sealed = await subtle.encrypt({ name: 'AES-GCM', iv, additionalData: Buffer.from(about) }, await importedKey(key), content)
  return Buffer.concat([iv, Buffer.from(sealed)])
}

/** What was sealed, and by which of the keys; `undefined` for what none of them has, or not about this. */
export async function decrypt (keys: readonly Buffer[], sealed: Buffer, about = ''): Promise<{ readonly content: Buffer, readonly keyIndex: number } | undefined> {
  const iv = sealed.subarray(0, IV_LENGTH)
  for (const [keyIndex, key] of keys.entries()) {
    try {
      const content = await subtle.decrypt({ name: 'AES-GCM', iv, additionalData: Buffer.from(about) }, await importedKey(key), sealed.subarray(IV_LENGTH))
      return { content: Buffer.from(content), keyIndex }
    } catch {
      // Of the next key, perhaps.
    }
  }
  return undefined
}

async function importedKey (key: Buffer): Promise<webcrypto.CryptoKey> {
  return await subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt'])
}
