import Fastify from 'fastify'
import { Redis } from 'ioredis'
import tokenManagement, { type TokenManagementOptions } from '../../lib/index.ts'
import type * as onRedis from '../../lib/redis.ts'
import { freePort } from '../../test/support/free-port.ts'
import { type Issuer, type RunningSubject, scope, type Subject } from '../subject.ts'

export const sessionKey = Buffer.alloc(32, 'k')

/** README.md, "Quick start", with the plugin as it is in lib, or as it was built. */
export function thisPluginFrom (plugin: typeof tokenManagement): Subject {
  return { name: 'fastify-token-management', packages: ['fastify'], loginPath: '/auth/login', start: (issuer) => start(plugin, issuer) }
}

/** docs/server-side-sessions.md. */
export function thisPluginOnRedis (plugin: typeof tokenManagement, { redisTokenStore, redisRefreshCoordinator }: typeof onRedis): Subject {
  return {
    ...thisPluginFrom(plugin),
    name: 'fastify-token-management, session on Redis',
    async start (issuer) {
      const redis = new Redis(issuer.redisUrl ?? '')
      return await start(plugin, issuer, { tokenStore: redisTokenStore({ redis }), coordinator: redisRefreshCoordinator({ redis }) })
    }
  }
}

export const thisPlugin = thisPluginFrom(tokenManagement)

async function start (plugin: typeof tokenManagement, { issuer, settings: { clientId, clientSecret } }: Issuer, options: Partial<TokenManagementOptions> = {}): Promise<RunningSubject> {
  const port = await freePort()
  const app = Fastify({ forceCloseConnections: true })
  await app.register(plugin, {
    issuer,
    clientId,
    clientSecret,
    session: { key: sessionKey },
    ...options,
    login: { callbackUri: `http://127.0.0.1:${port}/auth/callback`, scope }
  })
  let token: string | undefined
  app.get('/token', async (request) => {
    token = await request.accessToken()
    return { token }
  })
  app.get('/guarded', { onRequest: app.requireAccessToken }, async (request) => ({ token: await request.accessToken() }))
  app.get('/nothing', async () => ({ token })) // as much to send, for which nobody is asked
  const origin = await app.listen({ port, host: '127.0.0.1' })
  return { origin, close: () => app.close() }
}
