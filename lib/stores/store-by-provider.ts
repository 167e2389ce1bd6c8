import type { SessionDirectory, TokenStore } from '../tokens/token-store.ts'

/** The stores of several providers as one. */
export function storeByProvider (stores: ReadonlyMap<string, TokenStore>): TokenStore {
  return {
    get: (context) => stores.get(context.provider)?.get(context) ?? null,
    set: (context, tokens) => stores.get(context.provider)?.set(context, tokens),
    clear: (context) => stores.get(context.provider)?.clear(context),
    touch: (context) => stores.get(context.provider)?.touch?.(context),
    dueAt: (context) => stores.get(context.provider)?.dueAt?.(context),
    endsAt: (context) => stores.get(context.provider)?.endsAt?.(context),
    retract: (context) => stores.get(context.provider)?.retract?.(context),
    expired: (context) => stores.get(context.provider)?.expired?.(context),
    endedByApp: (context) => stores.get(context.provider)?.endedByApp?.(context) ?? false,
    get directory () { return [...stores.values()].every(({ directory }) => directory !== undefined) ? directoryByProvider(stores) : undefined },
    get writesResponse () { return [...stores.values()].some(({ writesResponse }) => writesResponse) }
  }
}

function directoryByProvider (stores: ReadonlyMap<string, TokenStore>): SessionDirectory {
  return {
    find: async (query, provider) => await stores.get(provider)?.directory?.find(query, provider) ?? [],
    set: async (tokens, provider) => await stores.get(provider)?.directory?.set(tokens, provider),
    clear: async (sessionId, provider) => await stores.get(provider)?.directory?.clear(sessionId, provider)
  }
}
