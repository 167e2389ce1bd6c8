import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { AuthorizationServer } from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { DiscoveryFailed, InvalidOptions } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import { callBackchannel } from './backchannel.ts'
import { discover, DiscoveryError } from './discovery.ts'
import { checkTenants } from './tenants.ts'

/** Metadata is asked for again after so many seconds, when it is next needed. */
const MAX_AGE = 3600

/** Seconds between two tries at boot: the first pause, doubled up to the longest. */
const FIRST_PAUSE = 0.1
const LONGEST_PAUSE = 1

/** The metadata of the authorization server, as last known (RFC 8414 §2). */
export type Metadata = () => AuthorizationServer

/**
 * The metadata by hand, or what is discovered.
 *
 * @throws FST_TOKEN_DISCOVERY_FAILED, and FST_TOKEN_INVALID_OPTIONS for what the provider does not have.
 */
export async function metadataOf (options: CheckedOptions, dispatcher: Dispatcher, { initialConfig, log }: FastifyInstance): Promise<Metadata> {
  const { metadata, tenants, login, allowInsecureRequests } = options
  for (const origin of allowInsecureRequests) log.warn(`Tokens and secrets may travel to ${origin} in clear, since allowInsecureRequests lists it: for development only`)
  const current = metadata === undefined ? await discoverMetadata(options, dispatcher, bootPatience(initialConfig.pluginTimeout), log) : () => metadata
  checkTenants(tenants, current())
  if (login?.userInfo && current().userinfo_endpoint === undefined) throw new InvalidOptions('login.userInfo: the metadata of the provider has no userinfo_endpoint. Leave the option out')
  return current
}

/** In seconds, of Fastify's own in milliseconds, where 0 is without end: the rest is for what else the boot does. */
function bootPatience (pluginTimeout = 10_000): number {
  return pluginTimeout === 0 ? 60 : 0.8 * pluginTimeout / 1000
}

/**
 * Discovers the metadata: at boot with patience, since a provider may come up after the app. Later it is asked for again
 * beside the requests that need it: none waits for it, and a failure keeps the old document.
 *
 * @param patience - in seconds.
 * @throws FST_TOKEN_DISCOVERY_FAILED with the issuer, each address that was asked, and what came of it.
 */
async function discoverMetadata (settings: CheckedOptions, dispatcher: Dispatcher, patience: number, log: FastifyBaseLogger): Promise<Metadata> {
  const { issuer, requestTimeout, clock } = settings
  const ask = async (timeout: number, isKnown: boolean): Promise<AuthorizationServer> =>
    await discover(settings, async (url, request) => await callBackchannel(dispatcher, timeout, url, request), isKnown)
  const failed = (error: unknown): Error => new DiscoveryFailed(issuer, error instanceof Error ? error.message : 'unknown', { cause: error instanceof Error ? error.cause : error })

  let current = await askPatiently()
  let askedAt = clock()

  /** A try takes half of what is left at most, so that one which hangs leaves time for others, and at least half of the pause before it. */
  async function askPatiently (): Promise<AuthorizationServer> {
    const end = performance.now() + patience * 1000
    const left = (): number => (end - performance.now()) / 1000
    let next = FIRST_PAUSE
    while (true) {
      try {
        return await ask(Math.min(requestTimeout, Math.ceil(left() * 500) / 1000), false)
      } catch (error) {
        if (!(error instanceof DiscoveryError && error.isPassing) || left() <= 2 * next) throw failed(error)
        if (next === FIRST_PAUSE) log.warn({ err: failed(error) }, `The metadata could not be discovered yet; it is asked for again, for ${Math.round(left())} s`)
        await pause(next * 1000)
        next = Math.min(2 * next, LONGEST_PAUSE)
      }
    }
  }

  return () => {
    if (clock() >= askedAt + MAX_AGE) {
      askedAt = clock()
      ask(requestTimeout, true).then(
        (document) => { current = document },
        (error: unknown) => { log.warn({ err: failed(error) }, 'The metadata could not be discovered again; the old document stays in use') }
      )
    }
    return current
  }
}
