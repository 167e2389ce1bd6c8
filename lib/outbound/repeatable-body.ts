import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'

/** Of a stream so much is kept while it is sent, to be sent again if need be: what Fastify reads of a body by default, too. */
const MAX_KEPT_BYTES = 1_048_576

type Body = Dispatcher.DispatchOptions['body']

/** The body of a request that may have to be sent again: as it is, or of a stream that was not too large what has been sent. */
export class RepeatableBody {
  /** What is sent at first. */
  readonly first: Body
  readonly #stream: Readable | undefined
  #kept: Buffer[] | undefined
  #size = 0
  #hasEnded = false

  constructor (body: Body) {
    this.#stream = streamOf(body)
    this.first = this.#stream ?? body
    this.#stream?.on('newListener', this.#listenAlong)
    this.#stream?.once('end', () => { this.#hasEnded = true })
  }

  /** Whether it can be sent again: nothing of it is missing. */
  get isRepeatable (): boolean {
    return this.#stream === undefined || (this.#hasEnded && this.#kept !== undefined)
  }

  get again (): Body {
    return this.#stream === undefined ? this.first : Buffer.concat(this.#kept ?? [])
  }

  /** With whoever sends it, and not before: to listen sets a stream going. */
  readonly #listenAlong = (event: string | symbol): void => {
    if (event !== 'data') return
    this.#stream?.off('newListener', this.#listenAlong)
    this.#kept = []
    this.#stream?.on('data', this.#keep)
  }

  readonly #keep = (chunk: Uint8Array | string): void => {
    const bytes = Buffer.from(chunk)
    this.#size += bytes.length
    if (this.#size > MAX_KEPT_BYTES) {
      this.#kept = undefined
      this.#stream?.off('data', this.#keep)
    }
    this.#kept?.push(bytes)
  }
}

/** What is used up by being sent, as a stream. */
function streamOf (body: unknown): Readable | undefined {
  if (body === undefined || body === null || typeof body !== 'object') return undefined
  if (body instanceof Readable) return body
  const lasts = ArrayBuffer.isView(body) || /^\[object (ArrayBuffer|FormData|Blob|File)\]$/.test(Object.prototype.toString.call(body))
  return lasts || !isIterable(body) ? undefined : Readable.from(body)
}

function isIterable (body: object): body is AsyncIterable<unknown> | Iterable<unknown> {
  return Symbol.asyncIterator in body || Symbol.iterator in body
}
