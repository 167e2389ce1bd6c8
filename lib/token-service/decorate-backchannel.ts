import type { FastifyInstance } from 'fastify'
import type { Dispatcher } from 'undici'
import type { CheckedOptions } from '../options/check.ts'
import { createBackchannel } from './backchannel.ts'
import type { ClientAuthentication } from './client-authentication.ts'

/** The HTTP clients made here. Nobody else's requests go over them: they may present a client's certificate. */
const own = new WeakSet<Dispatcher>()

/** Beside each of them one of a single connection, for what must not wait behind others. */
const besides = new WeakMap<Dispatcher, Dispatcher>()

/** The HTTP client of a provider: from its options, else the app's, else a pool of its own. We close what we made. */
export function decorateBackchannel (fastify: FastifyInstance, backchannel: CheckedOptions['backchannel'], { mutualTls }: ClientAuthentication): Dispatcher {
  const decorated = fastify.hasDecorator('backchannel') ? fastify.backchannel : undefined
  const given = backchannel ?? (decorated && own.has(decorated) ? undefined : decorated)
  const dispatcher = createBackchannel(given, mutualTls)
  if (dispatcher !== given) {
    own.add(dispatcher)
    const beside = createBackchannel({ ...backchannel, connections: 1 }, mutualTls)
    besides.set(dispatcher, beside)
    fastify.addHook('onClose', async () => { await Promise.all([dispatcher.close(), beside.close()]) })
  }
  if (decorated === undefined) fastify.decorate('backchannel', dispatcher)
  return dispatcher
}

/** The HTTP client that finds out whether the service answers: the app's own, or one of ours with a connection that nobody else uses. */
export function forProbes (dispatcher: Dispatcher): Dispatcher {
  return besides.get(dispatcher) ?? dispatcher
}
