import type { FastifyInstance } from 'fastify'
import type { Dispatcher } from 'undici'
import type { SessionEndedEvent } from './tokens/events.ts'
import type { Exchanger } from './cached-tokens/exchanger.ts'
import type { RefreshCoordinator } from './refresh/coordinator.ts'
import type { Refresher } from './refresh/refresher.ts'
import type { TokenStore } from './stores/token-store.ts'
import type { TokenService } from './token-service/token-service.ts'

/** What one registration has built: everything that serves its provider. */
export interface Provider {
  readonly name: string
  readonly tokenService: TokenService
  readonly coordinator: RefreshCoordinator
  readonly refresher: Refresher
  readonly exchanger: Exchanger
  /** The store in force for a route of this instance. */
  readonly storeFor: (server: FastifyInstance) => TokenStore
  /** The HTTP client in force for a route of this instance. */
  readonly backchannelFor: (server: FastifyInstance) => Dispatcher
  readonly clock: () => number
  readonly onSessionEnded?: ((event: SessionEndedEvent) => unknown) | undefined
}
