import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isNobody } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { Accessor } from './accessor.ts'
import type { AccessTokenParameters } from './tokens.ts'

const kAccessor: unique symbol = Symbol('fastify-token-management.accessor')

declare module 'fastify' {
  interface FastifyRequest {
    [kAccessor]?: Accessor
  }
}

/** Gives every request of an instance its accessor: by a hook, since no decorator with a value reaches contexts that were there before the plugin. */
export function decorateRequests (fastify: FastifyInstance, providers: ReadonlyMap<string, Provider>): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    request[kAccessor] = new Accessor(request, reply, providers)
    done()
  })
  // Most responses need nothing. For the others, Fastify answers what fails behind a promise, and not what fails in a callback after it.
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    const settled = request[kAccessor]?.beforeSend()
    if (settled === undefined) done(null, payload)
    return settled?.then(() => payload)
  })
  fastify.decorateRequest('tokens', { getter () { return accessorOf(this) } })
  fastify.decorateRequest('accessToken', accessToken)
}

/** The accessor of a request; the hooks of an app that want one run after the plugin's own. */
export function accessorOf (request: FastifyRequest): Accessor {
  const { [kAccessor]: accessor } = request
  if (accessor === undefined) throw new Error('The tokens are asked for too early: register fastify-token-management before the hook that does')
  return accessor
}

async function accessToken (this: FastifyRequest, parameters?: AccessTokenParameters & { optional?: false }): Promise<string>
async function accessToken (this: FastifyRequest, parameters: AccessTokenParameters & { optional?: boolean }): Promise<string | null>
async function accessToken (this: FastifyRequest, parameters: AccessTokenParameters & { optional?: boolean } = {}): Promise<string | null> {
  const accessor = accessorOf(this)
  try {
    return accessor.atHand(parameters) ?? await accessor.accessToken(parameters)
  } catch (error) {
    if (parameters.optional && isNobody(error)) return null
    throw error
  }
}
