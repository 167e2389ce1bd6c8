import { EventEmitter } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Tells undici when the browser goes away before its answer: as a signal that has one listener, since those of AbortSignal and of a
 * whole EventEmitter cost a request more than its token does.
 */
export class Departure extends EventEmitter {
  #isGone: boolean
  #listener: (() => void) | undefined

  constructor ({ raw: request }: FastifyRequest, { raw: response }: FastifyReply) {
    super()
    this.#isGone = response.destroyed || request.aborted
    // Over HTTP/2 what was cut off is finished, too.
    response.on('close', () => {
      if (response.writableEnded) return
      this.#isGone = true
      this.#listener?.()
    })
  }

  get isGone (): boolean {
    return this.#isGone
  }

  override once (_event: string, listener: () => void): this {
    this.#listener = listener
    return this
  }

  override removeListener (): this {
    this.#listener = undefined
    return this
  }
}
