import type { TokenApis, TokenClients } from 'fastify'

/** The names that an interface declares, or any where the app has declared none. */
export type NameIn<Names> = keyof Names extends never ? string : keyof Names & string

/** A name of the option `apis`: one that the app has declared by augmenting `TokenApis`. */
export type ApiName = NameIn<TokenApis>

/** A name of the option `clients`: one that the app has declared by augmenting `TokenClients`. */
export type ClientName = NameIn<TokenClients>
