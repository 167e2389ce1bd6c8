import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

/** A port on loopback that can stop listening, and listen again. With TLS it asks for a certificate, and takes connections without one. */
export class Listener {
  readonly #server: Server
  readonly #scheme: string
  #port = 0
  #connections = 0

  constructor (handle: RequestListener, tls?: { cert: string, key: string, ca: string }) {
    // Without a timeout the server never closes an idle connection under a client's next request.
    const options = { keepAliveTimeout: 0 }
    this.#scheme = tls ? 'https' : 'http'
    this.#server = tls
      ? createTlsServer({ ...options, ...tls, requestCert: true, rejectUnauthorized: false }, handle)
      : createServer(options, handle)
    this.#server.on('connection', () => this.#connections++)
  }

  get origin (): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`
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
