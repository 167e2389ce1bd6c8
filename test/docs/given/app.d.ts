import type { FastifyInstance } from 'fastify'
import type { TokenManagementOptions } from 'fastify-token-management'

declare global {
  /** The app of the quick start, and its options: what the snippets of all pages go on from. */
  const app: FastifyInstance
  const options: TokenManagementOptions
}
