import { Agent, Dispatcher } from 'undici'
import { InvalidOptions } from '../errors.ts'
import type { ClientCertificate } from './client-certificate.ts'

/**
 * Connections that present the client's current certificate. For another certificate there are other connections: one that
 * is busy would never end, and a resumed TLS session would be the old one's.
 */
export class CertificateAgent extends Dispatcher {
  readonly #certificate: () => Promise<ClientCertificate>
  readonly #options: Agent.Options
  #agent: Agent
  #presented = ''
  #isClosed = false

  /** @throws FST_TOKEN_INVALID_OPTIONS where the certificate cannot be given to the connections. */
  constructor (certificate: () => Promise<ClientCertificate>, options: Agent.Options) {
    super()
    if (typeof options.connect === 'function') {
      throw new InvalidOptions('backchannel.connect is a function of the app, so that the certificate cannot be given to it: let it present that, and call tlsClientAuth() without one')
    }
    this.#certificate = certificate
    this.#options = options
    this.#agent = new Agent(options)
  }

  override dispatch (options: Agent.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#current().catch(failing).then((agent) => { agent.dispatch(options, handler) })
    return true
  }

  /** What has an answer to wait for waits for it; nothing new begins. */
  override async close (): Promise<void> {
    this.#isClosed = true
    await this.#agent.close()
  }

  async #current (): Promise<Agent> {
    const certificate = await this.#certificate()
    const fingerprint = [certificate.cert, certificate.key, certificate.ca].map(String).join()
    if (this.#isClosed || fingerprint === this.#presented) return this.#agent
    const old = this.#agent
    this.#agent = new Agent({ ...this.#options, connect: { ...this.#options.connect, ...certificate } })
    this.#presented = fingerprint
    old.close()
    return this.#agent
  }
}

/** Without a certificate there is no connection, and nothing is sent. */
function failing (error: Error): Agent {
  return new Agent({ connect (_target, callback) { callback(error, null) } })
}
