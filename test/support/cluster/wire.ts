import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** The way to a server, which can be slow, or cut. */
export class Wire {
  /** Milliseconds that what is answered is on its way. */
  delay = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isCut = false

  constructor (port: number) {
    this.#server = createServer((near) => {
      if (this.#isCut) return near.destroy()
      const far = connect(port, '127.0.0.1')
      for (const socket of [near, far]) {
        this.#sockets.add(socket)
        socket.setNoDelay()
        socket.on('error', () => {}) // closed with it
        socket.on('close', () => { near.destroy(); far.destroy(); this.#sockets.delete(socket) })
      }
      near.pipe(far)
      far.on('data', (data) => { setTimeout(() => { near.write(data) }, this.delay) })
    })
  }

  async open (): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  cut (): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  mend (): void {
    this.#isCut = false
  }

  close (): void {
    this.cut()
    this.#server.close()
  }
}

export async function layWire (t: Test, port: number): Promise<{ wire: Wire, port: number }> {
  const wire = new Wire(port)
  t.teardown(() => wire.close())
  return { wire, port: await wire.open() }
}
