import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Served } from './served.ts'

/** What one round has seen of one system. */
export interface Measure {
  readonly requestsPerSecond: number
  /** Microseconds of the server's core for each request. */
  readonly cpu: number
  /** Milliseconds within which 99 of 100 were answered. */
  readonly p99: number
}

const connections = 32
const seconds = 1
const script = fileURLToPath(new URL('./cookies.lua', import.meta.url))

/**
 * One round: `GET` of this path as fast as the server can, with one of these cookies after the other. All have to be answered with 200. wrk asks,
 * from the second core: what is written in JavaScript leaves the server idle between two answers.
 */
export async function load (server: Served, route: string, cookies: readonly string[]): Promise<Measure> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cookies-'))
  const file = path.join(folder, 'cookies')
  await writeFile(file, cookies.join('\n'))
  const before = await server.cpu()
  const wrk = spawn('taskset', ['-c', '1', 'wrk', '-t', '1', '-c', String(connections), '-d', `${seconds}s`, '-s', script, server.origin + route, '--', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = await Promise.all([text(wrk.stdout), once(wrk, 'exit')])
  const cpu = await server.cpu() - before
  await rm(folder, { recursive: true })
  const said = output.split('\n').find((line) => line.startsWith('{'))
  if (said === undefined) throw new Error('wrk has said nothing: is it there? apt-get install wrk')
  const { answers, failed, microseconds, p99 } = JSON.parse(said)
  if (failed > 0 || answers === 0) throw new Error(`${server.name}: of ${answers} requests ${failed} failed`)
  return { requestsPerSecond: answers * 1_000_000 / microseconds, cpu: cpu / answers, p99: p99 / 1000 }
}
