import { EventEmitter, once } from 'node:events'

/** The event of a name: whatever a message says, it is none of an EventEmitter's own. */
const PREFIX = 'done:'

/** The newest of a session, as it was told to those who wait: sealed. */
export interface ToldSuccessor {
  readonly generation: number
  readonly sealed: Buffer
}

/** Those of this process who wait until somebody is done with something, by its name. */
export class WakeUps {
  readonly #emitter = new EventEmitter().setMaxListeners(0)

  /** Settles when somebody is done with it, or the wait is given up; with what has come of it, where that is told. */
  async of (name: string, attempt: AbortController): Promise<ToldSuccessor | undefined> {
    const [told]: Array<ToldSuccessor | undefined> = await once(this.#emitter, PREFIX + name, attempt).catch(() => [])
    return told
  }

  /** @param message - a name, as the scripts say it; with a generation after it, and a line with what is sealed. */
  readonly wake = (message: Buffer): void => {
    const endOfLine = message.indexOf('\n')
    const [name = '', generation] = message.toString('latin1', 0, endOfLine === -1 ? undefined : endOfLine).split(' ')
    const told = generation === undefined ? undefined : { generation: Number(generation), sealed: message.subarray(endOfLine + 1) }
    this.#emitter.emit(PREFIX + name, told)
  }

  /** A message may have been missed: all who wait ask again. */
  readonly wakeAll = (): void => {
    for (const event of this.#emitter.eventNames()) if (String(event).startsWith(PREFIX)) this.#emitter.emit(event)
  }
}
