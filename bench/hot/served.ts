import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Start } from './subjects.ts'

const file = fileURLToPath(new URL('./server.ts', import.meta.url))

/** A system in a process of its own, pinned to the first core; whoever asks it is to be on another one. */
export class Served {
  readonly name: string
  readonly origin: string
  readonly #process: ChildProcess

  private constructor (name: string, origin: string, process: ChildProcess) {
    this.name = name
    this.origin = origin
    this.#process = process
  }

  static async start (start: Start): Promise<Served> {
    const server = spawn('taskset', ['-c', '0', process.execPath, '--import', 'tsx', file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, NODE_ENV: 'production' } })
    return new Served(start.name, String(await ask(server, start)), server)
  }

  /** Microseconds of the core, all told. */
  async cpu (): Promise<number> {
    return Number(await ask(this.#process, 'cpu'))
  }

  stop (): void {
    this.#process.disconnect()
  }
}

async function ask (server: ChildProcess, message: Start | 'cpu'): Promise<unknown> {
  server.send(message)
  const [answer] = await Promise.race([once(server, 'message'), once(server, 'exit').then(([code]) => { throw new Error(`A server ended with ${code}`) })])
  return answer
}
