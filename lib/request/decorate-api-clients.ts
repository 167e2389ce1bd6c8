import type { FastifyInstance } from 'fastify'
import type { Api } from '../outbound/api.ts'
import { apiClient } from '../outbound/api-client.ts'
import { apiOf } from '../outbound/decorate-app.ts'
import { apiTokenOf } from './user-token.ts'

/** Gives every request `apiClient`. */
export function decorateApiClients (fastify: FastifyInstance, apis: ReadonlyMap<string, Api>): void {
  fastify.decorateRequest('apiClient', function (name) {
    const api = apiOf(apis, name)
    return apiClient(api, async () => await apiTokenOf(this, api))
  })
}
