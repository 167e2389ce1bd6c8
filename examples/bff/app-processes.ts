import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { AppOptions } from './app.ts'
import type { Entry } from './live-list.ts'

/** What one process is told as it starts. */
export interface Membership {
  number: number
  redis: string
  options: AppOptions
  port: number
  host: string
}

/** What the processes tell each other, by way of the first. */
export interface News {
  sessionId: string
  entry: Entry
}

/** The app in several processes on one port, as `node:cluster` does it: a connection each in turn. Who dies is replaced. */
export async function startAppProcesses (count: number, about: Omit<Membership, 'number'>): Promise<() => Promise<void>> {
  cluster.setupPrimary({ exec: fileURLToPath(new URL('app-process.ts', import.meta.url)), execArgv: ['--import', 'tsx'] })
  let isOver = false

  async function start (number: number): Promise<void> {
    const membership: Membership = { ...about, number }
    const worker = cluster.fork({ MEMBERSHIP: JSON.stringify(membership) })
    worker.on('message', (news: News) => { for (const each of workers()) each.send(news) })
    const begun = new AbortController()
    worker.once('exit', () => { begun.abort(new Error(`Process ${number} of the app did not start`)) })
    await once(worker, 'listening', begun)
    worker.once('exit', () => { if (!isOver) start(number).catch(() => {}) })
  }

  await Promise.all(Array.from({ length: count }, (_, index) => start(index + 1)))
  return async () => {
    isOver = true
    await Promise.all(workers().map(async (worker) => {
      const exited = once(worker, 'exit')
      worker.process.kill('SIGTERM')
      await exited
    }))
  }
}

function workers (): Worker[] {
  return Object.values(cluster.workers ?? {}).flatMap((worker) => worker ?? [])
}
