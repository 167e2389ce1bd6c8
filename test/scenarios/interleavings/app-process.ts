import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { DecoratorHandler, type Dispatcher } from 'undici'
import tokenManagement from '../../../lib/index.ts'
import { redisRefreshCoordinator } from '../../../lib/redis.ts'
import type { AuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import type { Gate } from '../../../lib/testing/provider/gate.ts'
import { sessionKey } from '../../support/start-app.ts'

/** The header by which the model knows who has sent a request. */
export const sender = 'x-process'

/** What is under way, and whether anything has moved. */
export class Activity {
  /** Calls to other systems that are not over. */
  open = 0
  turns = 0

  begin (): void {
    this.open++
  }

  end (): void {
    this.open--
    this.turns++
  }
}

export interface AppProcessSettings {
  readonly server: AuthorizationServer
  readonly dispatcher: Dispatcher
  readonly activity: Activity
  /** Where handlers wait. */
  readonly slow: Gate
  /** Seconds since the epoch. */
  readonly clock: () => number
  /** What it has in common with the others; `undefined`: there are none. */
  readonly redisPort: number | undefined
}

/** One process of the app, as far as the plugin can tell: nothing but Redis leads from one to the other. */
export class AppProcess {
  readonly app: FastifyInstance = Fastify({ logger: false })
  readonly #number: number
  readonly #settings: AppProcessSettings
  readonly #clients: Redis[] = []
  /** Whether it has told that it is alone. */
  isAlone = false
  isCutOff = false

  constructor (number: number, settings: AppProcessSettings) {
    this.#number = number
    this.#settings = settings
    this.app.addHook('onSend', async () => { settings.activity.turns++ })
  }

  async start (): Promise<void> {
    const { server, clock, redisPort } = this.#settings
    await this.app.register(tokenManagement, {
      metadata: { issuer: server.issuer, token_endpoint: `${server.issuer}/token`, revocation_endpoint: `${server.issuer}/revoke`, id_token_signing_alg_values_supported: ['ES256'] },
      clientId: server.settings.clientId,
      clientSecret: server.settings.clientSecret,
      session: { key: sessionKey },
      backchannel: this.#watched(),
      ...redisPort !== undefined && {
        coordinator: redisRefreshCoordinator({ redis: this.#connect(redisPort), timeout: 2, onAvailability: ({ isAvailable }) => { this.isAlone = !isAvailable } })
      },
      clock
    })
    this.#addRoutes()
    await this.comeBack()
  }

  /** Settles when all that it was told has been heard. */
  async hear (): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => client.status === 'ready' ? await client.ping().catch(() => {}) : undefined))
  }

  /** It is cut off from Redis. */
  async cutOff (): Promise<void> {
    if (this.isCutOff) return
    this.isCutOff = true
    await Promise.all(this.#clients.map(async (client) => {
      const ended = once(client, 'end')
      client.disconnect()
      await ended
    }))
  }

  async comeBack (): Promise<void> {
    this.isCutOff = false
    await Promise.all(this.#clients.filter(({ status }) => status === 'end' || status === 'wait').map((client) => client.connect()))
  }

  async close (): Promise<void> {
    await this.app.close()
    for (const client of this.#clients) client.disconnect()
  }

  /** A client whose commands count as under way until they are answered. */
  #connect (port: number) {
    const { activity } = this.#settings
    const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: null })
    this.#clients.push(client)
    return {
      get status () { return client.status },
      on: client.on.bind(client),
      off: client.off.bind(client),
      duplicate: () => {
        const subscriber = client.duplicate()
        this.#clients.push(subscriber)
        subscriber.on('message', () => { activity.turns++ })
        return subscriber
      },
      callBuffer: async (command: string, ...values: Array<string | Buffer | number>) => {
        activity.begin()
        return await client.callBuffer(command, ...values).finally(() => { activity.end() })
      }
    }
  }

  #addRoutes (): void {
    this.app.post<{ Body: { access_token: string, token_type: string } }>('/login', { config: { tokens: false } }, async (request) => {
      await request.tokens.save(request.body)
      return {}
    })
    for (const how of ['clear', 'revoke'] as const) {
      this.app.post(`/${how}`, { config: { tokens: false } }, async (request) => {
        await request.tokens[how]()
        return {}
      })
    }
    for (const [path, config] of [['/hooked', {}], ['/bare', { tokens: false }]] as const) {
      this.app.get<{ Querystring: { resource?: string, force?: string, beside?: string, ending?: string } }>(path, { config }, async (request) => {
        const { resource, force, beside, ending } = request.query
        const [token] = await Promise.all([
          request.accessToken({ resource, forceRenewal: force === 'true' ? true : force }),
          ...beside === undefined ? [] : [request.accessToken()]
        ])
        if (ending === 'wait') await this.#settings.slow.pass()
        if (ending === 'fail') throw new Error('as the script says')
        return { token }
      })
    }
  }

  /** Counts the calls that are under way, and says whose they are. */
  #watched (): Dispatcher {
    const { dispatcher, activity } = this.#settings
    return dispatcher.compose((dispatch) => (options, handler) => {
      activity.begin()
      const watched: Dispatcher.DispatchHandler = new DecoratorHandler(handler)
      const end = watched.onResponseEnd?.bind(watched)
      const fail = watched.onResponseError?.bind(watched)
      watched.onResponseEnd = (controller, trailers) => {
        activity.end()
        end?.(controller, trailers)
      }
      watched.onResponseError = (controller, error) => {
        activity.end()
        fail?.(controller, error)
      }
      return dispatch({ ...options, headers: { ...options.headers, [sender]: String(this.#number) } }, watched)
    })
  }
}
