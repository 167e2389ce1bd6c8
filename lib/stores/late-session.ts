import type { FastifyInstance } from 'fastify'
import type { Surroundings } from '../options/surroundings.ts'
import { hasServerSession } from './own-store.ts'

/** Whether the app has registered @fastify/secure-session. */
export function hasSecureSession (fastify: FastifyInstance): boolean {
  return fastify.hasDecorator('encodeSecureSession')
}

/** Says as the app gets ready that a session of the app's own came too late to be taken into account. */
export function warnOfLateSession (fastify: FastifyInstance, before: Pick<Surroundings, 'session' | 'secureSession'>, keepsElsewhere: boolean): void {
  fastify.addHook('onReady', async () => {
    if (!before.session && !keepsElsewhere && hasServerSession(fastify)) {
      fastify.log.warn('@fastify/session is registered after fastify-token-management, so that the tokens are in a cookie and not in its store. Register it before, or say where they are with the option tokenStore')
    }
    if (!before.secureSession && hasSecureSession(fastify)) {
      fastify.log.warn('@fastify/secure-session is registered after fastify-token-management, so that the tokens do not end with its session. Register it before')
    }
  })
}
