import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TokenManagementOptions } from '../../../lib/index.ts'
import type { AuthorizationServer } from '../authorization-server/authorization-server.ts'
import { Browser } from '../browser.ts'
import type { Closing, TestRedis } from '../redis-server.ts'
import { sessionKey } from '../start-app.ts'
import { SharedOffset } from './shared-offset.ts'

/** What a process of the cluster is told as it starts. */
export interface Membership {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  readonly key: string
  readonly redisPort?: number | undefined
  /** Where it asks which Redis it is, in place of that. */
  readonly sentinelPort?: number
  /** Seconds that an answer of Redis is waited for. */
  readonly timeout?: number
  /** Sessions are on Redis, too. */
  readonly isStoredThere?: boolean
  /** What JSON can say of them. */
  readonly options?: Partial<TokenManagementOptions>
  /** The file that says how many seconds its clock is moved. */
  readonly offset: string
  /** The moment of its first refresh at which it is killed. */
  readonly diesAfter?: 'claim' | 'sending' | 'answer' | 'settle'
}

export type Report = { readonly origin: string } | { readonly told: string }

/** One process. */
export class Member {
  readonly origin: string
  /** What its app was told, in this order. */
  readonly told: string[]
  readonly #process: ChildProcess
  readonly #offset: SharedOffset
  #moved = 0
  #skewed = 0

  constructor (origin: string, told: string[], child: ChildProcess, offset: SharedOffset) {
    this.origin = origin
    this.told = told
    this.#process = child
    this.#offset = offset
  }

  /** A browser that talks to this process, with another one's cookies. */
  browser (like?: Browser): Browser {
    return new Browser(this.origin, like?.cookies)
  }

  /** A browser with a session of these tokens. */
  async save (tokens: object): Promise<Browser> {
    const browser = this.browser()
    const { status, text } = await browser.send('POST', '/save', { 'content-type': 'application/json' }, JSON.stringify(tokens))
    if (status !== 200) throw new Error(`The session could not be saved: ${text}`)
    return browser
  }

  /** Moves its clock, by so many seconds from where it started. */
  move (seconds: number): void {
    this.#moved = seconds
    this.#offset.set(this.#moved + this.#skewed)
  }

  /** Makes its clock differ from those of the others, by so many seconds. */
  skew (seconds: number): void {
    this.#skewed = seconds
    this.#offset.set(this.#moved + this.#skewed)
  }

  kill (signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#process.kill(signal)
  }

  /** Ends it as a deploy does. */
  async stop (): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await exited
  }
}

/** Processes of one app, with one key, and one Redis. */
export interface Cluster {
  readonly members: Member[]
  /** Starts one more. */
  join (membership?: Partial<Membership>): Promise<Member>
  /** Moves the clocks of all, and that of the server. */
  move (seconds: number): void
  /** By how much they have been moved. */
  now (): number
}

export async function startCluster (t: Closing, server: AuthorizationServer, redis: TestRedis | undefined, size: number, common: Partial<Membership> = {}): Promise<Cluster> {
  let offset = 0
  let joined = 0
  server.settings.clock = () => Date.now() / 1000 + offset
  const members: Member[] = []
  const place = mkdtempSync(path.join(tmpdir(), 'cluster-'))
  t.teardown(() => { rmSync(place, { recursive: true }) })

  async function join (own: Partial<Membership> = {}): Promise<Member> {
    const { clientId, clientSecret } = server.settings
    const file = path.join(place, String(++joined))
    const membership: Membership = { issuer: server.issuer, clientId, clientSecret, key: sessionKey, redisPort: redis?.port, offset: file, ...common, ...own }
    const shared = SharedOffset.create(file)
    shared.set(offset)
    const child = spawn(process.execPath, ['--import', 'tsx', path.join(import.meta.dirname, 'member.ts')], {
      env: { ...process.env, NODE_OPTIONS: '', MEMBERSHIP: JSON.stringify(membership) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc']
    })
    t.teardown(() => { child.kill('SIGKILL') })
    const told: string[] = []
    const origin = await new Promise<string>((resolve, reject) => {
      child.on('message', (report: Report) => {
        if ('told' in report) told.push(report.told)
        else resolve(report.origin)
      })
      child.once('exit', (code) => { reject(new Error(`A process ended with ${code} before it listened`)) })
    })
    const member = new Member(origin, told, child, shared)
    member.move(offset)
    members.push(member)
    return member
  }

  function move (seconds: number): void {
    offset += seconds
    for (const member of members) member.move(offset)
  }

  await Promise.all(Array.from({ length: size }, () => join()))
  return { members, join, move, now: () => offset }
}
