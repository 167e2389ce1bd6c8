import type { FastifyInstance } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import { ownStore } from './own-store.ts'
import { storeProblem } from './store-check.ts'
import { storeByProvider, type TokenStore } from './token-store.ts'

/** The stores of our own by provider, and all of them as one: for where the app brings none. */
export interface StoreRegistry {
  readonly stores: Map<string, TokenStore>
  readonly store: TokenStore
}

export function storeRegistry (): StoreRegistry {
  const stores = new Map<string, TokenStore>()
  return { stores, store: storeByProvider(stores) }
}

/** Whether the app has decorated a store of its own. */
export function hasStoreOfApp (fastify: FastifyInstance, { store }: StoreRegistry): boolean {
  return fastify.hasDecorator('tokenStore') && fastify.tokenStore !== store
}

/**
 * Gives an instance its store: the app's, or one of our own for each provider.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS for a store of the app that is none.
 */
export async function decorateTokenStore (fastify: FastifyInstance, options: CheckedOptions, registry: StoreRegistry): Promise<void> {
  const isOfApp = hasStoreOfApp(fastify, registry)
  const problem = isOfApp ? storeProblem(fastify.tokenStore) : undefined
  if (problem !== undefined) throw new InvalidOptions(problem)
  if (isOfApp) return
  if (!fastify.hasDecorator('tokenStore')) fastify.decorate('tokenStore', registry.store)
  registry.stores.set(options.name, await ownStore(fastify, options))
}
