import { isRecord } from '../tokens/record.ts'
import { readWish } from '../tokens/token-wish.ts'

/** What is wrong with `config.tokens` of a route, which says what the plugin's hooks see to there. */
export function routeProblem (tokens: unknown, providers: readonly string[]): string | undefined {
  if (tokens === undefined || tokens === false) return undefined
  if (!isRecord(tokens)) return 'config.tokens must be false, or an object with provider, resource, scope, required'
  const { provider, resource, scope, required, ...others } = tokens
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) return `config.tokens.${unknown}: there is no such member. There are provider, resource, scope, required`
  if (provider !== undefined && !providers.some((name) => name === provider)) {
    return `config.tokens.provider: no registration has the name ${String(provider)}. Registered: ${providers.join(', ')}`
  }
  if (![undefined, true, false, 'login'].some((value) => value === required)) return 'config.tokens.required must be true, false or \'login\''
  try {
    readWish({ resource, scope })
    return undefined
  } catch (error) {
    return `config.tokens: ${error instanceof Error ? error.message : 'unknown'}`
  }
}
