import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { Provider } from 'oidc-provider'
import { orderApi } from './api.ts'
import { startAppProcesses } from './app-processes.ts'
import { type AppOptions, bff } from './app.ts'
import { type Client, identityProvider } from './identity-provider.ts'

const host = '127.0.0.1'

interface DemoOptions {
  ports: { app: number, identityProvider: number, api: number }
  /** How long an access token lives: short, so that one sees it being refreshed. */
  accessTokenSeconds?: number
  /** The app in several processes, which agree by this Redis. */
  cluster?: { processes: number, redis: string }
}

export interface Demo {
  /** Where to point the browser. */
  address: string
  identityProvider: Provider
  close (): Promise<void>
}

/** Starts the identity provider, then the API, then the app: each of them asks the one before. */
export async function startDemo ({ ports, accessTokenSeconds = 15, cluster }: DemoOptions): Promise<Demo> {
  const address = `http://${host}:${ports.app}`
  const issuer = `http://${host}:${ports.identityProvider}`
  const api = `http://${host}:${ports.api}`
  // What the app and the provider agreed upon, when the app was registered there: as two clients, one for each way to refresh.
  const client: Client = {
    id: 'web',
    secret: randomBytes(32).toString('hex'),
    callbackUri: `${address}/auth/callback`,
    postLogoutRedirectUri: `${address}/`,
    dpop: true
  }
  const byHand: Client = { id: 'by-hand', secret: randomBytes(32).toString('hex'), callbackUri: `${address}/by-hand/callback` }

  const running: Array<() => Promise<void>> = []
  const close = async () => {
    for (const stop of running.splice(0).reverse()) await stop()
  }
  try {
    const provider = await identityProvider({ issuer, clients: [client, byHand], app: address, audience: api, accessTokenSeconds })
    const server = provider.listen(ports.identityProvider, host)
    running.push(() => stopServer(server))
    await once(server, 'listening')

    const apiServer = orderApi({ issuer, audience: api })
    running.push(() => apiServer.close())
    await apiServer.listen({ port: ports.api, host })

    const options: AppOptions = { address, issuer, api, client, sessionKey: newKey(), byHand: { client: byHand, sessionKey: newKey() } }
    if (cluster) {
      running.push(await startAppProcesses(cluster.processes, { redis: cluster.redis, options, port: ports.app, host }))
    } else {
      const app = await bff(options)
      running.push(() => app.close())
      await app.listen({ port: ports.app, host })
    }

    return { address, identityProvider: provider, close }
  } catch (error) {
    await close()
    throw error
  }
}

function newKey (): string {
  return randomBytes(32).toString('base64')
}

async function stopServer (server: Server): Promise<void> {
  if (!server.listening) return
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}
