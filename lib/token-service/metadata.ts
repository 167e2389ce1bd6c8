import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { AuthorizationServer } from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { DiscoveryFailed } from '../errors.ts'
import { callBackchannel } from './backchannel.ts'
import { discover, DiscoveryError, type DiscoverySettings } from './discovery.ts'

/** Metadata is asked for again after so many seconds, when it is next needed. */
const MAX_AGE = 3600

/** Seconds between two tries at boot: the first pause, doubled up to the longest. */
const FIRST_PAUSE = 0.1
const LONGEST_PAUSE = 2

/** The metadata of the authorization server, as last known (RFC 8414 §2). */
export type Metadata = () => AuthorizationServer

export interface MetadataSettings extends DiscoverySettings {
  /** Seconds for one request. */
  readonly requestTimeout: number
  readonly clock: () => number
}

/**
 * Discovers the metadata: at boot with patience, since a provider may come up after the app. Later it is asked for again
 * beside the requests that need it: none waits for it, and a failure keeps the old document.
 *
 * @param patience - in seconds.
 * @throws FST_TOKEN_DISCOVERY_FAILED with the issuer, each address that was asked, and what came of it.
 */
export async function discoverMetadata (settings: MetadataSettings, dispatcher: Dispatcher, patience: number, log: FastifyBaseLogger): Promise<Metadata> {
  const { issuer, requestTimeout, clock } = settings
  const ask = async (timeout: number, isKnown: boolean): Promise<AuthorizationServer> =>
    await discover(settings, async (url, request) => await callBackchannel(dispatcher, timeout, url, request), isKnown)
  const failed = (error: unknown): Error => new DiscoveryFailed(issuer, error instanceof Error ? error.message : 'unknown', { cause: error instanceof Error ? error.cause : error })

  let current = await askPatiently()
  let askedAt = clock()

  /** A try takes half of what is left at most, so that one which hangs leaves time for others. */
  async function askPatiently (): Promise<AuthorizationServer> {
    const end = performance.now() + patience * 1000
    const left = (): number => (end - performance.now()) / 1000
    for (let next = FIRST_PAUSE; ; next = Math.min(2 * next, LONGEST_PAUSE)) {
      try {
        return await ask(Math.min(requestTimeout, Math.ceil(left() * 500) / 1000), false)
      } catch (error) {
        if (!(error instanceof DiscoveryError && error.isPassing) || left() <= next) throw failed(error)
        if (next === FIRST_PAUSE) log.warn({ err: failed(error) }, `The metadata could not be discovered yet; it is asked for again, for ${Math.round(left())} s`)
        await pause(next * 1000)
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
