import { isRecord } from '../tokens/record.ts'

/** What no store can do without. */
const METHODS = ['get', 'set', 'clear']

/** What is wrong with what an app has decorated as `tokenStore`. */
export function storeProblem (store: unknown): string | undefined {
  if (typeof store === 'function') return 'app.tokenStore is a factory: decorate it where the plugin is registered, before that, and not in another context'
  const missing = METHODS.filter((name) => !isRecord(store) || typeof store[name] !== 'function')
  return missing.length === 0 ? undefined : `app.tokenStore has no function ${missing.join(', ')}: a token store has get, set and clear (docs/custom-store.md)`
}
