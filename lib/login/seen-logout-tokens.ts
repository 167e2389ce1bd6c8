import { LRUCache } from 'lru-cache'
import type { SharedLogouts } from '../tokens/shared-logouts.ts'

/** Bound of what is remembered. */
const MOST = 10_000

/** The logout tokens that came to this process, where it shares nothing with others. */
export function seenLogoutTokens (clock: () => number): Pick<SharedLogouts, 'hasSeen' | 'see'> {
  const seen = new LRUCache<string, true>({ max: MOST, perf: { now: () => clock() * 1000 }, ttlResolution: 0 })
  return {
    hasSeen: async (jti) => seen.has(jti),
    see: async (jti, seconds) => { seen.set(jti, true, { ttl: Math.ceil(seconds * 1000) }) }
  }
}
