import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'

/**
 * Tells undici when the browser goes away before its answer: as a signal that has one listener, since those of AbortSignal and of a
 * whole EventEmitter cost a request more than its token does.
 */
export class Departure extends EventEmitter {
  #listener: (() => void) | undefined

  constructor (response: Pick<ServerResponse, 'on' | 'writableFinished'>) {
    super()
    response.on('close', () => { if (!response.writableFinished) this.#listener?.() })
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
