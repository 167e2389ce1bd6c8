import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'

/** A port on loopback that can stop listening, and listen again. */
export class Listener {
  readonly #server: Server
  #port = 0
  #connections = 0

  constructor (handle: RequestListener) {
    // Without a timeout the server never closes an idle connection under a client's next request.
    this.#server = createServer({ keepAliveTimeout: 0 }, handle)
    this.#server.on('connection', () => this.#connections++)
  }

  get origin (): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** How many connections were accepted so far. */
  get connections (): number {
    return this.#connections
  }

  async start (): Promise<void> {
    if (this.#server.listening) return
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }

  async stop (): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}
