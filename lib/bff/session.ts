import type { FastifyInstance } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import type { Paths } from '../options/paths.ts'
import type { Provider } from '../provider.ts'
import { accessorOf } from '../request/decorate-requests.ts'
import { ownRoute } from '../request/own-route.ts'
import { sendUnauthenticated } from '../request/unauthenticated.ts'
import type { CsrfCheck } from './csrf.ts'

export interface SessionEndpointSettings extends Pick<CheckedOptions, 'session' | 'logout'> {
  readonly provider: Provider
  readonly paths: Paths
  readonly endpoint: NonNullable<CheckedOptions['bff']['session']>
  readonly checkCsrf: CsrfCheck
}

/** Where a page asks who is logged in, and for how long: from what the session says, so that nobody is asked, and never with a token. */
export async function sessionEndpoint (fastify: FastifyInstance, { provider, paths, logout, endpoint, session: { absoluteDuration }, checkCsrf }: SessionEndpointSettings): Promise<void> {
  const ways = { loginPath: paths.login, logoutPath: logout && paths.logout }

  fastify.get<{ Querystring: { slide?: unknown } }>(endpoint.path, {
    ...ownRoute,
    onRequest: async (request, reply) => {
      reply.header('cache-control', 'no-store')
      checkCsrf(request)
    }
  }, async (request, reply) => {
    const about = await accessorOf(request).session({ provider: provider.name }).state.about(request.query.slide !== 'false')
    if (about !== null) {
      const { claims, startedAt, endsAt = startedAt + absoluteDuration } = about
      return { claims, expiresIn: Math.max(0, Math.floor(endsAt - provider.clock())), ...ways }
    }
    return endpoint.anonymous === 401 ? sendUnauthenticated(reply, provider) : reply.type('application/json').send('null')
  })
}
