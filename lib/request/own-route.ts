import type { FastifyRequest, FastifySchema } from 'fastify'

/** What @fastify/swagger goes by. */
const hidden: FastifySchema & { readonly hide: boolean } = { hide: true }

const kOwnRoute = Symbol('fastify-token-management.own-route')

/**
 * What all routes of this plugin have in common: no hook refreshes there, no guard of the whole app closes them (nobody could
 * log in), no HEAD does what a GET does, no code of theirs gets into the log, and they are no part of the app's API.
 */
export const ownRoute = {
  config: { tokens: false, [kOwnRoute]: true },
  exposeHeadRoute: false,
  logSerializers: { req: withoutQuery },
  schema: hidden
} as const

export function isOwnRoute ({ routeOptions: { config } }: FastifyRequest): boolean {
  return kOwnRoute in config
}

function withoutQuery ({ method, url }: FastifyRequest) {
  return { method, url: url.split('?')[0] }
}
