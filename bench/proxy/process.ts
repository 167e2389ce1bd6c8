import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Start } from './server.ts'

const file = fileURLToPath(new URL('./server.ts', import.meta.url))
const connections = 32

/** What one turn has seen. */
export interface Measure {
  readonly requestsPerSecond: number
  /** Microseconds of the proxy's core for each request. */
  readonly cpu: number
  /** Milliseconds within which 99 of 100 were answered. */
  readonly p99: number
}

/** A server in a process of its own, pinned to a core. */
export class Pinned {
  readonly origin: string
  readonly #process: ChildProcess

  private constructor (origin: string, process: ChildProcess) {
    this.origin = origin
    this.#process = process
  }

  static async start (core: 0 | 1, start: Start): Promise<Pinned> {
    const server = spawn('taskset', ['-c', String(core), process.execPath, '--import', 'tsx', file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, NODE_ENV: 'production' } })
    return new Pinned(String(await ask(server, start)), server)
  }

  /** One turn of a load that saturates it, by wrk on the other core. All answers have to be a success. */
  async load (path: string, headers: Record<string, string>, seconds: number): Promise<Measure> {
    const before = Number(await ask(this.#process, 'cpu'))
    const { stdout } = await promisify(execFile)('taskset', ['-c', '1', 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency',
      ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]), this.origin + path])
    const cpu = Number(await ask(this.#process, 'cpu')) - before
    const problem = /Non-2xx.*|Socket errors.*/.exec(stdout)
    if (problem !== null) throw new Error(problem[0])
    const [, requests = NaN] = /(\d+) requests in/.exec(stdout) ?? []
    const [, perSecond = NaN] = /Requests\/sec:\s+([\d.]+)/.exec(stdout) ?? []
    const [, p99 = NaN, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? []
    return { requestsPerSecond: Number(perSecond), cpu: cpu / Number(requests), p99: Number(p99) * (unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1) }
  }

  async stop (): Promise<void> {
    const exit = once(this.#process, 'exit')
    this.#process.disconnect()
    await exit
  }
}

async function ask (server: ChildProcess, message: Start | 'cpu'): Promise<unknown> {
  server.send(message)
  const [answer] = await Promise.race([once(server, 'message'), once(server, 'exit').then(([code]) => { throw new Error(`A server ended with ${code}`) })])
  return answer
}
