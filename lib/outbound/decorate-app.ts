import type { FastifyInstance } from 'fastify'
import { InvalidParameters, UnknownApi } from '../errors.ts'
import type { Api } from './api.ts'
import { apiClient } from './api-client.ts'
import { clientToken, type TokenSource } from './api-token.ts'

/** The API of this name. @throws FST_TOKEN_UNKNOWN_API */
export function apiOf (apis: ReadonlyMap<string, Api>, name: string): Api {
  const api = apis.get(name)
  if (api === undefined) throw new UnknownApi(name, [...apis.keys()].join(', ') || 'none')
  return api
}

/** Gives an instance `apiClient`, for the APIs that no user is needed for. */
export function decorateApp (fastify: FastifyInstance, apis: ReadonlyMap<string, Api>): void {
  fastify.decorate('apiClient', function (name) {
    const api = apiOf(apis, name)
    return apiClient(api, appToken(api, this))
  })
}

function appToken ({ name, kind, client, wish }: Api, server: FastifyInstance): TokenSource {
  if (kind === 'none') return async () => null
  if (kind === 'client' && client !== undefined) return async () => await clientToken(client, wish, server)
  throw new InvalidParameters(`the API ${name} gets the token of a user. Ask the request of that user: request.apiClient('${name}')`)
}
