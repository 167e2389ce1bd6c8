import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort } from './free-port.ts'

/** What tap shows of tests that need it, and `false` where it is there. */
export function whyNotRedis (): string | false {
  if (spawnSync('redis-server', ['--version']).status === 0) return false
  const reason = 'NOT TESTED: there is no redis-server. apt-get install redis-server'
  process.stderr.write(`\n*** ${reason}\n\n`)
  return reason
}

/** Who closes what was started: a test, or a measurement. */
export interface Closing { teardown (close: () => unknown): void }

/** A Redis of the test's own, which can be stopped, frozen, and started again, empty. */
export class TestRedis {
  readonly port: number
  readonly #settings: readonly string[]
  /** Replicas write files, whatever is not to be saved. */
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'redis-'))
  #process: ChildProcess | undefined

  constructor (port: number, settings: readonly string[]) {
    this.port = port
    this.#settings = settings
  }

  get url (): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start (): Promise<void> {
    const redis = spawn('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--dir', this.#directory, ...this.#settings], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#process = redis
    for await (const line of createInterface({ input: redis.stdout })) if (line.includes('Ready to accept connections')) break
    redis.stdout.resume()
  }

  /** As if its host had died. */
  async stop (): Promise<void> {
    const redis = this.#process
    this.#process = undefined
    if (redis === undefined) return
    const exited = once(redis, 'exit')
    redis.kill('SIGKILL')
    await exited
  }

  async remove (): Promise<void> {
    await this.stop()
    rmSync(this.#directory, { recursive: true })
  }

  freeze (): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw (): void {
    this.#process?.kill('SIGCONT')
  }
}

export async function startRedis (t: Closing, settings: readonly string[] = []): Promise<TestRedis> {
  const redis = new TestRedis(await freePort(), settings)
  t.teardown(() => redis.remove())
  await redis.start()
  return redis
}

/** What watches a Redis, and puts its replica in its place when it is gone. */
export interface Sentinel {
  readonly port: number
  /** Settles when it has done so. */
  readonly promoted: Promise<void>
}

export async function startSentinel (t: Closing, { port: mainPort }: TestRedis): Promise<Sentinel> {
  const port = await freePort()
  const directory = mkdtempSync(path.join(tmpdir(), 'sentinel-'))
  const file = path.join(directory, 'sentinel.conf')
  writeFileSync(file, `sentinel monitor main 127.0.0.1 ${mainPort} 1\nsentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n`)
  const sentinel = spawn('redis-server', [file, '--sentinel', '--port', String(port), '--bind', '127.0.0.1'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    const exited = once(sentinel, 'exit')
    sentinel.kill('SIGKILL')
    await exited
    rmSync(directory, { recursive: true })
  })
  const lines = createInterface({ input: sentinel.stdout })
  const said = (what: string) => new Promise<void>((resolve) => { lines.on('line', (line) => { if (line.includes(what)) resolve() }) })
  const promoted = said('+switch-master')
  await said('+slave') // it knows the replica
  return { port, promoted }
}

/** A client that the test closes. */
export function connect (t: Closing, { port }: TestRedis, options: RedisOptions = {}): Redis {
  const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 50, ...options })
  client.on('error', () => {}) // said where a command fails
  t.teardown(() => { client.disconnect() })
  return client
}

/** Makes one Cluster of servers that were started for it. */
export function joinCluster (nodes: readonly TestRedis[]): void {
  const { status, stdout } = spawnSync('redis-cli', ['--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stdout)
}
