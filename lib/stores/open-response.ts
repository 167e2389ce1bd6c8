import type { FastifyRequest } from 'fastify'
import type { StoreContext } from '../tokens/token-store.ts'

/** Whether a cookie can still be set with the response of a request. */
export function isResponseOpen ({ request, reply }: StoreContext): boolean {
  return !(isHandshake(request) || reply.sent || reply.raw.headersSent)
}

/** A WebSocket handshake: its answer is written by whoever takes the connection over, without the headers of the reply (RFC 6455 §4). */
export function isHandshake ({ headers: { upgrade } }: FastifyRequest): boolean {
  return upgrade?.toLowerCase() === 'websocket'
}
