import type { FastifyBaseLogger } from 'fastify'
import { compactVerify, createLocalJWKSet, type CryptoKey, decodeProtectedHeader, errors, type JSONWebKeySet } from 'jose'
import type { Dispatcher } from 'undici'
import { isRecord } from '../tokens/record.ts'
import { BackchannelError, callBackchannel } from './backchannel.ts'
import type { Metadata } from './metadata.ts'
import { within } from './within.ts'

/** Keys are asked for again after so many seconds, when they are next needed: so long is one good that was withdrawn. */
const MAX_AGE = 600

/** Seconds after keys were asked for in vain in which only those ask again who cannot do without. */
const PAUSE = 30

export interface ProviderKeysSettings {
  readonly metadata: Metadata
  /** Seconds. */
  readonly requestTimeout: number
  readonly clock: () => number
  readonly log: Pick<FastifyBaseLogger, 'warn'>
}

/** By what means keys are asked for, and how much it matters. */
export interface KeyMeans {
  readonly dispatcher: Dispatcher
  /** Asks at once, also where that was in vain a moment ago: not for what anybody may bring about. */
  readonly isUrgent?: boolean
  /** Seconds; what is asked for then still comes, for others. Default: as long as it takes, within `requestTimeout`. */
  readonly patience?: number
}

type KeySet = ReturnType<typeof createLocalJWKSet>

/**
 * The keys that the provider signs with (RFC 7517, OpenID Connect Core §10.1.1): asked for when they are first needed, one
 * that is unknown at once, and by one request at a time. Where they cannot be had again, the old ones stay in use.
 */
export class ProviderKeys {
  readonly #settings: ProviderKeysSettings
  #known: { readonly keys: KeySet, readonly since: number } | undefined
  #asking: Promise<KeySet> | undefined
  #pausesUntil = -Infinity

  constructor (settings: ProviderKeysSettings) {
    this.#settings = settings
  }

  /** Whether the provider publishes keys at all. */
  get arePublished (): boolean {
    return this.#settings.metadata().jwks_uri !== undefined
  }

  /**
   * The keys that are in use now.
   *
   * @throws BackchannelError where there are none.
   */
  async current (means: KeyMeans): Promise<KeySet> {
    const known = this.#known
    if (known === undefined) return await this.#ask(means)
    if (this.#settings.clock() < known.since + MAX_AGE || this.#isPaused) return known.keys
    return await this.#ask(means).catch(() => known.keys)
  }

  /**
   * The key that has signed a token.
   *
   * @throws BackchannelError where it cannot be had; jose's errors where it is none of the provider's.
   */
  async keyOf (token: string, means: KeyMeans): Promise<CryptoKey> {
    const keys = await this.current(means)
    try {
      return await keyAmong(keys, token)
    } catch (error) {
      if (!mayBeNew(error, token)) throw error
      const newer = await this.#ask(means, keys)
      return await keyAmong(newer, token).catch((error: unknown) => {
        this.#pause()
        throw error
      })
    }
  }

  get #isPaused (): boolean {
    return this.#settings.clock() < this.#pausesUntil
  }

  #pause (): void {
    this.#pausesUntil = this.#settings.clock() + PAUSE
  }

  /** @param old - the keys that will not do: who comes later has newer ones. */
  async #ask ({ dispatcher, isUrgent = false, patience }: KeyMeans, old?: KeySet): Promise<KeySet> {
    if (old !== undefined && this.#known !== undefined && this.#known.keys !== old) return this.#known.keys
    if (!isUrgent && this.#isPaused) throw new BackchannelError('The keys of the provider were asked for in vain a moment ago', false, undefined)
    const asking = this.#asking ??= this.#download(dispatcher).finally(() => { this.#asking = undefined })
    if (patience === undefined) return await asking
    asking.catch(() => {})
    return await within(patience, 'the request for the keys of the provider', () => asking)
  }

  async #download (dispatcher: Dispatcher): Promise<KeySet> {
    const { metadata, requestTimeout, clock, log } = this.#settings
    const { jwks_uri: address = '' } = metadata()
    try {
      const response = await callBackchannel(dispatcher, requestTimeout, address, { method: 'GET', headers: { accept: 'application/json, application/jwk-set+json' } })
      if (response.status !== 200) throw new Error(`it answers with status ${response.status}`)
      const document: unknown = await response.json()
      if (!isKeySet(document)) throw new Error('its answer is no JSON Web Key Set')
      const keys = createLocalJWKSet(document)
      this.#known = { keys, since: clock() }
      return keys
    } catch (error) {
      this.#pause()
      const failure = new BackchannelError(`The keys of the provider at ${address} cannot be had: ${error instanceof Error ? error.message : 'unknown'}`, false, error)
      // Said here, once, however many wait for them.
      if (this.#known !== undefined) log.warn({ err: failure }, 'The keys of the provider could not be had again; the old ones stay in use')
      throw failure
    }
  }
}

/** What is in it is judged by jose. */
function isKeySet (document: unknown): document is JSONWebKeySet {
  return isRecord(document) && Array.isArray(document.keys)
}

/** The one of these keys that has signed a token; of several that may have, where the token names none, each is tried. */
async function keyAmong (keys: KeySet, token: string): Promise<CryptoKey> {
  try {
    return (await compactVerify(token, keys)).key
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    for await (const key of error) {
      if (await compactVerify(token, key).then(() => true, () => false)) return key
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

/** Whether it may be signed with a key that is not known yet: it names another one, or none. */
function mayBeNew (error: unknown, token: string): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true
  return error instanceof errors.JWSSignatureVerificationFailed && decodeProtectedHeader(token).kid === undefined
}
