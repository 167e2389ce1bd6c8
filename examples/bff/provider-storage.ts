import { LRUCache } from 'lru-cache'
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider'

/** Keeps what the identity provider remembers in memory: the next start knows nobody. */
export function providerStorage (): AdapterFactory {
  const records = new LRUCache<string, AdapterPayload>({ max: 10_000 })

  return (model: string): Adapter => {
    const key = (id: string) => `${model}:${id}`
    return {
      async upsert (id, payload, expiresIn) {
        records.set(key(id), payload, expiresIn === undefined ? {} : { ttl: expiresIn * 1000 })
      },
      async find (id) {
        return records.get(key(id))
      },
      async findByUid (uid) {
        return [...records.values()].find((payload) => payload.uid === uid)
      },
      async findByUserCode () {
        // Only the device flow asks, and it is off.
      },
      async consume (id) {
        const payload = records.get(key(id))
        if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000)
      },
      async destroy (id) {
        records.delete(key(id))
      },
      // A refresh token that is used twice takes all its relatives with it.
      async revokeByGrantId (grantId) {
        for (const [id, payload] of [...records]) {
          if (payload.grantId === grantId) records.delete(id)
        }
      }
    }
  }
}
