import { channel, tracingChannel, type TracingChannel } from 'node:diagnostics_channel'
import type { FastifyError } from 'fastify'

const PREFIX = 'fastify-token-management:'

/** Of which registration a message is. */
export interface Registration {
  /** Its `name`. */
  readonly provider: string
  readonly clientId: string
}

/** What a message says of work that is done: never what the work has brought, since that is tokens. */
export interface Telling<Message, Result> {
  readonly done: (result: Result, message: Message) => Partial<Message>
  /** The error is one of this plugin's own: no other is known to be free of secrets. */
  readonly failed: (error: unknown, message: Message) => Partial<Message> & { readonly error: FastifyError }
}

/** One kind of work that subscribers of node:diagnostics_channel can trace; without any, nothing is done for it. See docs/telemetry.md. */
export class Tracing<Message extends object, Result> {
  readonly #channels: TracingChannel<unknown, Message>
  readonly #telling: Telling<Message, Result>

  constructor (name: string, telling: Telling<Message, Result>) {
    this.#channels = tracingChannel(PREFIX + name)
    this.#telling = telling
  }

  get isWatched (): boolean {
    return this.#channels.hasSubscribers
  }

  /** Does some work. Its message is published as it starts, and again with what is said of its outcome as it ends. */
  trace<Got extends Result> (message: Message, work: () => Promise<Got>): Promise<Got> {
    return this.isWatched ? this.#traced(message, work) : work()
  }

  async #traced<Got extends Result> (message: Message, work: () => Promise<Got>): Promise<Got> {
    const { done, failed } = this.#telling
    // Their own: whatever subscribers do to it, the work goes on.
    const told = { ...message }
    let coming: Promise<Got> | undefined
    const begun = () => (coming ??= work())
    // Neither the result nor the error as it was thrown: tracePromise would put them into the message.
    const telling = () => begun().then((result) => { Object.assign(told, message, done(result, message)) }, (error: unknown) => {
      const said = failed(error, message)
      Object.assign(told, message, said)
      throw said.error
    })
    await this.#channels.tracePromise(telling, told).catch(() => { /* Who has asked gets what was thrown. */ })
    return await begun()
  }
}

/** Published with each end of a session. */
export const sessionEnded = channel(`${PREFIX}session-ended`)
