import { EventEmitter, once } from 'node:events'

/** The event of a name: whatever a message says, it is none of an EventEmitter's own. */
const PREFIX = 'done:'

/** Those of this process who wait until somebody is done with something, by its name. */
export class WakeUps {
  readonly #emitter = new EventEmitter().setMaxListeners(0)

  /** Settles when somebody is done with it, or the wait is given up. */
  async of (name: string, attempt: AbortController): Promise<void> {
    await once(this.#emitter, PREFIX + name, attempt).catch(() => {})
  }

  readonly wake = (name: string): void => {
    this.#emitter.emit(PREFIX + name)
  }

  /** A message may have been missed: all who wait ask again. */
  readonly wakeAll = (): void => {
    for (const event of this.#emitter.eventNames()) if (String(event).startsWith(PREFIX)) this.#emitter.emit(event)
  }
}
