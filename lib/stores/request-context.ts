import type { FastifyReply, FastifyRequest } from 'fastify'
import type { StoreContext } from '../tokens/token-store.ts'

/**
 * For whom a store works on a request. A class and no literal: what V8 makes of a literal on a path as hot as this one is born old, and keeps
 * the whole request until the next full collection.
 */
export class RequestContext implements StoreContext {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly provider: string
  readonly context: unknown

  constructor (request: FastifyRequest, reply: FastifyReply, provider: string, context: unknown) {
    this.request = request
    this.reply = reply
    this.provider = provider
    this.context = context
  }
}
