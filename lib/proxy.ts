import httpProxy from '@fastify/http-proxy'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { csrfCheckIn } from './bff/csrf.ts'
import { handshakeHeaders } from './bff/handshake.ts'
import { ProxiedCall } from './bff/proxied-call.ts'
import { hasOneMethod, isUnambiguous } from './bff/proxied-path.ts'
import { checkProxyOptions, type TokenProxyOptions } from './bff/proxy-options.ts'
import { registryOf } from './provider.ts'
import { apiTokenOf } from './request/user-token.ts'

const kCall = Symbol('fastify-token-management.proxied-call')

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']

/**
 * Hands requests of the app's pages on to an API of the option `apis`, with the token that it gets. On @fastify/http-proxy, which is to be installed. Without a
 * token to be had, nothing goes out; see docs/proxy.md.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS at boot. Its answers besides the API's own: those of `request.accessToken()`;
 * FST_TOKEN_CSRF_HEADER, FST_TOKEN_CROSS_SITE (403); FST_TOKEN_API_UNAVAILABLE (502), FST_TOKEN_API_TIMEOUT (504)
 * @example
 * await app.register(tokenProxy, { prefix: '/api/orders', api: 'orders', allow: [{ path: '/orders/:id', methods: ['GET', 'PUT'] }] })
 */
export async function tokenProxy (fastify: FastifyInstance, options: TokenProxyOptions): Promise<void> {
  const api = checkProxyOptions(options, registryOf(fastify).apis)
  const { rewritePrefix = '', allow, csrf = true, websocket = false, setCookie = false } = options
  const prefix = fastify.prefix.endsWith('/') ? fastify.prefix.slice(0, -1) : fastify.prefix
  const places = { origin: api.origin, apiPrefix: rewritePrefix, prefix }
  const checkCsrf = csrfCheckIn(fastify)
  const settings = { api, places, setCookie }
  const callOf = (request: FastifyRequest) => request.getDecorator<ProxiedCall>(kCall)

  fastify.decorateRequest(kCall, null)
  // A body is passed on as it comes, whatever the app does with those of its own routes.
  fastify.removeAllContentTypeParsers()
  fastify.addHook('onRequest', async (request, reply) => {
    const isHandshake = request.headers.upgrade !== undefined
    if (!isUnambiguous(request.url, allow !== undefined) || (allow !== undefined && !hasOneMethod(request)) || (isHandshake && !websocket)) return reply.callNotFound()
    if (csrf) checkCsrf(request)
    const token = await apiTokenOf(request, api)
    request.setDecorator(kCall, new ProxiedCall(settings, token, isHandshake ? await handshakeHeaders(request, api, token, places) : undefined))
  })

  const wsClientOptions = { headers: {}, rewriteRequestHeaders: (_headers: object, request: FastifyRequest) => callOf(request).handshake }
  const routes = allow?.map(({ path, methods = METHODS }) => ({ routes: [path], httpMethods: [...methods] })) ?? [{ httpMethods: METHODS }]
  for (const route of routes) {
    await fastify.register(httpProxy, {
      ...route,
      upstream: api.origin,
      rewritePrefix: prefix === fastify.prefix ? rewritePrefix : `${rewritePrefix}/`,
      config: { tokens: false },
      websocket,
      wsClientOptions,
      // Routes, paths and WebSockets are its own; what is sent, and sent again, needs a token.
      handler: async (request, reply, path) => await callOf(request).forward(request, reply, path)
    })
  }
}

export default tokenProxy
export type { AllowedRoute, TokenProxyOptions } from './bff/proxy-options.ts'
