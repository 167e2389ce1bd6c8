import type { FastifyBaseLogger } from 'fastify'
import { tell } from '../tokens/events.ts'
import type { RedisClient } from './client.ts'
import type { Command } from './commands.ts'

/** Whether Redis answers: told when that changes. */
export interface AvailabilityEvent {
  readonly isAvailable: boolean
  /** Why it is not. */
  readonly error?: Error
}

export interface LinkSettings {
  readonly redis: RedisClient
  /** Seconds that an answer is waited for. */
  readonly timeout: number
  readonly log: FastifyBaseLogger
  readonly onAvailability?: ((event: AvailabilityEvent) => unknown) | undefined
  /** Whether Redis is as good as gone while it refuses something (it is full, say); else that is the matter of that command alone. */
  readonly isGoneWhenRefusing: boolean
  /** What this means for the app, in the log. */
  readonly saying: { readonly lost: string, readonly back: string }
  /** Called when Redis answers again, or another one in its place. */
  readonly onBack?: () => void
}

/** Seconds between two tries while Redis does not answer: in between nobody waits for it. */
const PROBE_PAUSE = 1

/** Connections that come back by themselves, and are not there now. */
const DOWN = ['reconnecting', 'close', 'end', 'disconnecting']

/** The parts of an answer. */
export type Reply = readonly unknown[]

/** Runs scripts and commands on a Redis that may be slow or gone: nobody waits for it longer than `timeout`. */
export class RedisLink {
  readonly #settings: LinkSettings
  /** While there is no answer: when it was last tried, and what Redis refuses though it answers (it is full, say). */
  #trouble: { triedAt: number, readonly refused: Command['script'] | undefined } | undefined

  constructor (settings: LinkSettings) {
    this.#settings = settings
    settings.redis.on('ready', this.#onReady)
  }

  /**
   * @param late - gets an answer for which nobody waits any more.
   * @throws where there is no answer in time.
   */
  async run (command: Command, late: (reply: Reply) => void = () => {}): Promise<Reply> {
    this.#enter()
    const { script } = command
    const running = this.#call(command)
    const { timeout } = this.#settings
    let isLate = false
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        // An answer that came while this process was busy is read first.
        setImmediate(() => {
          isLate = true
          reject(new Error(`Redis has not answered within ${timeout} s`))
        })
      }, timeout * 1000)
    })
    running.then((reply) => {
      if (this.#trouble?.refused === undefined || this.#trouble.refused === script) this.#answered()
      if (isLate) late(reply)
    }, () => {})
    try {
      return await Promise.race([running, silence])
    } catch (error) {
      if (this.#settings.isGoneWhenRefusing || !isRefusal(error)) this.#failed(script, error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  close (): void {
    this.#settings.redis.off('ready', this.#onReady)
  }

  #enter (): void {
    const isDown = DOWN.includes(this.#settings.redis.status)
    const now = performance.now()
    const error = new Error('Redis is out of reach')
    if (isDown) this.#failed(undefined, error)
    if (isDown || (this.#trouble !== undefined && now - this.#trouble.triedAt < PROBE_PAUSE * 1000)) throw error
    if (this.#trouble !== undefined) this.#trouble.triedAt = now
  }

  #failed (script: Command['script'] | undefined, cause: unknown): void {
    if (this.#trouble !== undefined) return
    const message = cause instanceof Error ? cause.message : String(cause)
    this.#trouble = { triedAt: performance.now(), refused: isRefusal(cause) ? script : undefined }
    // Not the error itself, which holds the command with all that was in it.
    const error = new Error(message)
    const { log, saying, onAvailability } = this.#settings
    log.warn({ err: error }, `Redis cannot be asked: ${saying.lost}`)
    tell(log, 'onAvailability', onAvailability, { isAvailable: false, error })
  }

  #answered (): void {
    if (this.#trouble === undefined) return
    this.#trouble = undefined
    const { log, saying, onAvailability, onBack } = this.#settings
    log.info(`Redis answers again: ${saying.back}`)
    tell(log, 'onAvailability', onAvailability, { isAvailable: true })
    onBack?.()
  }

  /** It may be another Redis, or an empty one, though no answer was missed. */
  readonly #onReady = (): void => {
    if (this.#trouble === undefined) this.#settings.onBack?.()
    else this.#answered()
  }

  async #call ({ script, keys, values }: Command): Promise<Reply> {
    const { redis } = this.#settings
    if (script.text === undefined) return [await redis.callBuffer(script.name, ...keys, ...values)].flat()
    const { text, sha } = script
    const parameters = [keys.length, ...keys, ...values]
    const reply = await redis.callBuffer('EVALSHA', sha, ...parameters).catch((error: unknown) => {
      if (!String(error).includes('NOSCRIPT')) throw error
      return redis.callBuffer('EVAL', text, ...parameters)
    })
    return Array.isArray(reply) ? reply : []
  }
}

/** Redis answers, and says no. */
function isRefusal (error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}
