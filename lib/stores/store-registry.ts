import type { FastifyInstance } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import { ownStore } from './own-store.ts'
import { storeProblem } from './store-check.ts'
import type { TokenStore, TokenStoreFactory } from '../tokens/token-store.ts'
import { storeByProvider } from './store-by-provider.ts'

/** The stores of our own by provider, and all of them as one: for where the app brings none. */
export interface StoreRegistry {
  readonly stores: Map<string, TokenStore>
  readonly store: TokenStore
}

export function storeRegistry (): StoreRegistry {
  const stores = new Map<string, TokenStore>()
  return { stores, store: storeByProvider(stores) }
}

/** What the app has decorated: a store of its own, or what makes one for each provider. */
export function decoratedBy (fastify: FastifyInstance, { store }: StoreRegistry): 'nobody' | 'store' | 'factory' {
  if (!fastify.hasDecorator('tokenStore') || fastify.tokenStore === store) return 'nobody'
  return typeof fastify.tokenStore === 'function' ? 'factory' : 'store'
}

/**
 * Gives an instance its store: the app's, or one for each provider, of a factory or of our own.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS for a store of the app that is none, or where there are two.
 */
export async function decorateTokenStore (fastify: FastifyInstance, options: CheckedOptions, registry: StoreRegistry): Promise<void> {
  const decorated = decoratedBy(fastify, registry)
  if (decorated !== 'nobody' && options.tokenStore !== undefined) throw new InvalidOptions('tokenStore: app.tokenStore is decorated already. Give one of the two')
  if (decorated === 'store') {
    const problem = storeProblem(fastify.tokenStore)
    if (problem !== undefined) throw new InvalidOptions(problem)
    return
  }
  const factory = decorated === 'factory' ? fastify.getDecorator<TokenStoreFactory>('tokenStore') : options.tokenStore
  if (!fastify.hasDecorator('tokenStore')) fastify.decorate('tokenStore', registry.store)
  registry.stores.set(options.name, await ownStore(fastify, options, factory))
}
