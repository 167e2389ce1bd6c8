import type { FastifyInstance } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import { routeProblem } from '../options/route-check.ts'
import type { Options } from '../options/schema.ts'
import type { Provider } from '../provider.ts'
import { storeProblem } from '../stores/store-check.ts'

/**
 * Judges as the app gets ready, when all providers are registered, what its routes say of tokens, and the stores that are
 * in force there. Those that were registered before the plugin are not seen: the hooks judge them at their first request.
 */
export function checkRoutes (fastify: FastifyInstance, providers: ReadonlyMap<string, Provider>, refresh: Options['refresh']): void {
  const routes: Array<{ server: FastifyInstance, route: string, tokens: unknown }> = []
  fastify.addHook('onRoute', function ({ method, url, config }) {
    routes.push({ server: this, route: `${[method].flat().join(', ')} ${url}`, tokens: config?.tokens })
  })
  fastify.addHook('onReady', async () => {
    const names = [...providers.keys()]
    for (const { server, route, tokens } of routes.splice(0)) {
      const problem = routeProblem(tokens, names) ?? hookProblem(tokens, refresh) ?? (server.tokenStore === fastify.tokenStore ? undefined : storeProblem(server.tokenStore))
      if (problem !== undefined) throw new InvalidOptions(`the route ${route}: ${problem}`)
    }
  })
}

/** A route that is thought to be guarded, and by nobody. */
function hookProblem (tokens: unknown, refresh: Options['refresh']): string | undefined {
  const isRequired = typeof tokens === 'object' && tokens !== null && 'required' in tokens && tokens.required === true
  return isRequired && refresh === 'manual' ? 'config.tokens.required is seen to by the app\'s hook, which refresh: \'manual\' leaves out. Put onRequest: app.requireAccessToken on the route' : undefined
}
