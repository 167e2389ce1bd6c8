import type { FastifyContextConfig, FastifyInstance } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import { routeProblem } from '../options/route-check.ts'
import type { Provider } from '../provider.ts'
import { storeProblem } from '../stores/store-check.ts'
import { loginProblem } from './required.ts'

/**
 * Judges as the app gets ready, when all providers are registered, what its routes say of tokens, and the stores that are
 * in force there. Those that were registered before the plugin are not seen: the hooks judge them at their first request.
 */
export function checkRoutes (fastify: FastifyInstance, providers: ReadonlyMap<string, Provider>): void {
  const routes: Array<{ server: FastifyInstance, route: string, tokens: FastifyContextConfig['tokens'] }> = []
  fastify.addHook('onRoute', function ({ method, url, config }) {
    routes.push({ server: this, route: `${[method].flat().join(', ')} ${url}`, tokens: config?.tokens })
  })
  fastify.addHook('onReady', async () => {
    const names = [...providers.keys()]
    for (const { server, route, tokens } of routes.splice(0)) {
      const problem = routeProblem(tokens, names) ?? noLogin(tokens, providers) ?? (server.tokenStore === fastify.tokenStore ? undefined : storeProblem(server.tokenStore))
      if (problem !== undefined) throw new InvalidOptions(`the route ${route}: ${problem}`)
    }
  })
}

function noLogin (tokens: FastifyContextConfig['tokens'], providers: ReadonlyMap<string, Provider>): string | undefined {
  if (!tokens) return undefined
  const { provider: name } = tokens
  const provider = name === undefined ? providers.values().next().value : providers.get(name)
  return provider && loginProblem(tokens, provider)
}
