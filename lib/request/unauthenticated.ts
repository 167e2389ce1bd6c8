import type { FastifyError, FastifyReply } from 'fastify'
import { Unauthenticated } from '../errors.ts'
import type { Provider } from '../provider.ts'

/** What a page is told that nobody is logged in on: with the provider that is meant, and where a browser logs in there. */
export function sendUnauthenticated (reply: FastifyReply, { name, loginPath }: Provider, error: FastifyError = new Unauthenticated()): FastifyReply {
  const { code, message, statusCode } = error
  return reply.code(401).header('cache-control', 'no-store').send({ statusCode, code, error: 'Unauthorized', message, provider: name, loginPath })
}
