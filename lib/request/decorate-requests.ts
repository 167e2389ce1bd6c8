import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isNobody } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { Accessor } from './accessor.ts'
import type { AccessTokenParameters } from './tokens.ts'

const kAccessor = Symbol('fastify-token-management.accessor')

/** What a request has before its accessor: a function, since only those reach contexts that were there before the plugin. */
function noAccessor (): void {}

/** Gives every request of an instance its accessor. */
export function decorateRequests (fastify: FastifyInstance, providers: ReadonlyMap<string, Provider>): void {
  fastify.decorateRequest(kAccessor, noAccessor)
  fastify.addHook('onRequest', (request, reply, done) => {
    request.setDecorator(kAccessor, new Accessor(request, reply, providers))
    done()
  })
  // Fastify answers what fails behind a promise that it is given, and not what fails behind a callback.
  fastify.addHook('onSend', async (request, _reply, payload) => {
    const accessor = request.getDecorator<Accessor | typeof noAccessor>(kAccessor)
    if (accessor instanceof Accessor) await accessor.beforeSend()
    return payload
  })
  fastify.decorateRequest('tokens', { getter () { return accessorOf(this) } })
  fastify.decorateRequest('accessToken', accessToken)
}

/** The accessor of a request; the hooks of an app that want one run after the plugin's own. */
export function accessorOf (request: FastifyRequest): Accessor {
  const accessor = request.getDecorator<Accessor | typeof noAccessor>(kAccessor)
  if (!(accessor instanceof Accessor)) throw new Error('The tokens are asked for too early: register fastify-token-management before the hook that does')
  return accessor
}

async function accessToken (this: FastifyRequest, parameters?: AccessTokenParameters & { optional?: false }): Promise<string>
async function accessToken (this: FastifyRequest, parameters: AccessTokenParameters & { optional?: boolean }): Promise<string | null>
async function accessToken (this: FastifyRequest, { optional = false, ...parameters }: AccessTokenParameters & { optional?: boolean } = {}): Promise<string | null> {
  try {
    return await accessorOf(this).accessToken(parameters)
  } catch (error) {
    if (optional && isNobody(error)) return null
    throw error
  }
}
