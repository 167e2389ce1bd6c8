import type { FastifyRequest } from 'fastify'
import { isRecord } from '../tokens/record.ts'
import type { TokenStore } from '../tokens/token-store.ts'

/** A store whose tokens end where the app deletes its own session of @fastify/secure-session. */
export function endingWithSecureSession (store: TokenStore, sessionName: string): TokenStore {
  /** Requests whose login came after the deletion. */
  const begunAnew = new WeakSet<FastifyRequest>()

  function isDeleted (request: FastifyRequest): boolean {
    const session = request.getDecorator<unknown>(sessionName)
    return isRecord(session) && session.deleted === true
  }

  return {
    ...store,
    set (context, tokens) {
      if (tokens.generation === 0 && isDeleted(context.request)) begunAnew.add(context.request)
      return store.set(context, tokens)
    },
    endedByApp: (context) => (isDeleted(context.request) && !begunAnew.has(context.request)) || (store.endedByApp?.(context) ?? false)
  }
}
