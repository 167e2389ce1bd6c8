import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** How a secret may stand somewhere all the same. */
export function disguises (secret: string): string[] {
  const hashes = ['sha1', 'sha256', 'sha512', 'md5'].flatMap((name) => {
    const digest = createHash(name).update(secret).digest()
    return [digest.toString('latin1'), digest.toString('hex'), digest.toString('base64url').slice(0, 20)]
  })
  return [secret, Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(0, -1), Buffer.from(secret).toString('base64url').slice(0, -1), Buffer.from(secret).toString('hex'), ...hashes]
}

/** All that is in a Redis, as somebody finds it who has a backup. */
export async function dumpOf (redis: Redis): Promise<{ keys: string[], text: string }> {
  const keys = await redis.keys('*')
  const values = await Promise.all(keys.map((key) => redis.dumpBuffer(key)))
  return { keys, text: Buffer.concat([...keys.map((key) => Buffer.from(key)), ...values.map((value) => value ?? Buffer.alloc(0))]).toString('latin1') }
}
