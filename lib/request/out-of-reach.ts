import type { FastifyInstance } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import { isRecord } from '../tokens/record.ts'

const kWatched = Symbol('fastify-token-management.watched')

/**
 * A plugin that is registered in a context sees to the routes of that and of those in it. What routes beside it or above say of
 * tokens would count for nothing, and who thinks of them as guarded would not know: so they fail the boot. Those that were there
 * before the plugin fail each of their requests.
 *
 * @param isReached - whether the hooks of the plugin run on the routes of a context.
 */
export function refuseOutOfReach (fastify: FastifyInstance, isReached: (server: FastifyInstance) => boolean): void {
  const around = contextsAround(fastify)
  const root = around.at(-1)
  if (root === undefined || root.hasDecorator(kWatched)) return
  root.decorate(kWatched, null)
  const routes: Array<{ server: FastifyInstance, url: string, tokens: unknown }> = []
  // On each: other than the hooks of requests, this one does not get into contexts that are there already.
  for (const context of around) {
    context.addHook('onRoute', function ({ url, config }) {
      routes.push({ server: this, url, tokens: config?.tokens })
    })
  }
  const check = (server: FastifyInstance, url: string | undefined, tokens: unknown): Error | undefined => {
    if (tokens === undefined || tokens === false || isReached(server)) return undefined
    return new InvalidOptions(`the route ${url}: config.tokens is seen to in the context that fastify-token-management is registered in, and the route is outside of that. Register the plugin in a context around it, or the route in there`)
  }
  root.addHook('onReady', async () => {
    for (const { server, url, tokens } of routes.splice(0)) {
      const problem = check(server, url, tokens)
      if (problem !== undefined) throw problem
    }
  })
  root.addHook('onRequest', ({ server, routeOptions: { url, config } }, _reply, done) => { done(check(server, url, config.tokens)) })
}

/** The contexts that one is in, the root last. They inherit from those around them: by that, decorators are seen in them. */
function contextsAround (fastify: FastifyInstance): FastifyInstance[] {
  const around: unknown = Object.getPrototypeOf(fastify)
  return isContext(around) ? [around, ...contextsAround(around)] : []
}

function isContext (value: unknown): value is FastifyInstance {
  return isRecord(value) && 'addHook' in value
}
