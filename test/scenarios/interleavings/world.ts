import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import type { Dispatcher } from 'undici'
import type { AuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { Gate } from '../../../lib/testing/provider/gate.ts'
import type { RequestRecord } from '../../../lib/testing/provider/request-log.ts'
import { Activity, AppProcess } from './app-process.ts'
import { type Hostility, type TroubleName, troubles } from './script.ts'

/** The person whose token requests all go wrong. */
export const hostile = 'hostile'

/** The loop turns that nothing must happen in before all that can go on has gone on. */
const calmTurns = 3

/** The processes of an app that is more than one. */
const SEVERAL = 3

/** What the world tells of token requests. */
export interface Witness {
  /** A refresh token is presented, by a process that can tell the others, or not. */
  presented (record: RequestRecord, isTorn: boolean): void
  /** The server has made up its mind, with this trouble; the answer is not under way yet. */
  processed (record: RequestRecord, trouble: TroubleName | null): void
  /** The answer goes out. */
  answered (record: RequestRecord): void
}

/** The strict authorization server with a gate wherever something can wait, for all runs. */
export interface Scene {
  readonly server: AuthorizationServer
  readonly dispatcher: Dispatcher
  readonly requests: Gate
  readonly answers: Gate
  readonly revocations: Gate
  /** What the processes have in common; `undefined`: there is one. */
  readonly redis: Redis | undefined
}

export function sceneOf (server: AuthorizationServer, dispatcher: Dispatcher, redis?: Redis): Scene {
  return { server, dispatcher, redis, requests: server.hold(), answers: server.hold({ what: 'answers' }), revocations: server.hold({ endpoint: 'revocation' }) }
}

/** One app in front of the scene, from its first request to its last: in one process, or in several with a Redis between them. */
export class World {
  readonly processes: readonly AppProcess[]
  /** Seconds since the epoch: what the clock of the app says, and what time it is, for the server. */
  readonly clock = { now: 1_800_000_000 }
  readonly time = { now: 1_800_000_000 }
  readonly #scene: Scene
  readonly #witness: Witness
  #hostility: Hostility | null
  readonly #slow = new Gate()
  readonly #activity = new Activity()
  #seen = 0
  readonly #presented: RequestRecord[] = []
  readonly #answered: RequestRecord[] = []

  constructor (scene: Scene, witness: Witness, hostility: Hostility | null) {
    const { server, redis } = scene
    this.#scene = scene
    this.#hostility = hostility
    this.#witness = witness
    server.forgetRequests()
    server.settings.clock = () => this.time.now
    const settings = { ...scene, activity: this.#activity, slow: this.#slow, clock: () => this.clock.now, redisPort: redis?.options.port }
    this.processes = Array.from({ length: redis === undefined ? 1 : SEVERAL }, (_, number) => new AppProcess(number, settings))
  }

  async start (): Promise<void> {
    await this.#scene.redis?.flushall()
    await Promise.all(this.processes.map((process) => process.start()))
  }

  /** One of the processes. */
  app (number: number): FastifyInstance {
    return this.#process(number).app
  }

  /** Whether some process cannot tell the others what it does. */
  get isTorn (): boolean {
    return this.processes.some(({ isAlone, isCutOff }) => isAlone || isCutOff)
  }

  /** Redis is out of reach for one process, or comes back. */
  async connect (number: number, isThere: boolean): Promise<void> {
    const process = this.#process(number)
    if (isThere) await process.comeBack()
    else await process.cutOff()
    await this.settle()
  }

  /** Another Redis takes its place, an empty one. */
  async emptyRedis (): Promise<void> {
    const connected = this.processes.filter(({ isCutOff }) => !isCutOff)
    for (const process of connected) await process.cutOff()
    await this.#scene.redis?.flushall()
    for (const process of connected) await process.comeBack()
    await this.settle()
  }

  /** Settles when everybody waits at a gate, and nothing moves any more. */
  async settle (): Promise<void> {
    await this.#quiet()
    const records = this.#scene.server.requestsTo('token')
    for (const record of records.slice(this.#seen)) {
      this.#presented.push(record)
      this.#witness.presented(record, this.isTorn)
    }
    this.#seen = records.length
  }

  /** Lets everybody go who still waits, or comes yet, and nobody judges what comes of it. */
  async close (): Promise<void> {
    this.#scene.server.clearFaults()
    await this.#drain()
    const closed = Promise.all(this.processes.map((process) => process.close())).then(() => true)
    for (let isClosed = false; !isClosed;) isClosed = await Promise.race([closed, this.#drain()])
    await this.#drain()
  }

  async #drain (): Promise<false> {
    const { requests, answers, revocations } = this.#scene
    do {
      for (const gate of [requests, answers, revocations, this.#slow]) while (gate.waiting > 0) gate.admit(0)
      await this.#quiet()
    } while (this.waiting > 0)
    return false
  }

  /** How many wait at some gate. */
  get waiting (): number {
    const { requests, answers, revocations } = this.#scene
    return requests.waiting + answers.waiting + revocations.waiting + this.#slow.waiting
  }

  /** Lets one of those who wait go on; a token request meets the trouble, if there is one. */
  async step (place: number, trouble: TroubleName | null): Promise<void> {
    const { server, requests, answers, revocations } = this.#scene
    let at = this.waiting === 0 ? 0 : place % this.waiting
    if (at < requests.waiting) {
      const record = this.#presented[at]
      if (record === undefined) throw new Error('A request came from nowhere')
      const met = this.#hostilityTo(record) ?? trouble
      if (met === 'hanging') return
      this.#presented.splice(at, 1)
      if (met !== null) server.fault(troubles[met].fault)
      requests.admit(at)
      await this.settle()
      this.#answered.push(record)
      return this.#witness.processed(record, met)
    }
    at -= requests.waiting
    if (at < answers.waiting) {
      const [record] = this.#answered.splice(at, 1)
      if (record === undefined) throw new Error('An answer came from nowhere')
      this.#witness.answered(record)
      answers.admit(at)
      return await this.settle()
    }
    at -= answers.waiting
    if (at < revocations.waiting) revocations.admit(at)
    else this.#slow.admit(at - revocations.waiting)
    await this.settle()
  }

  /** From now on everybody is served. */
  async makePeace (): Promise<void> {
    this.#hostility = null
    for (const process of this.processes) await process.comeBack()
    await this.settle()
  }

  #hostilityTo ({ params: { refresh_token: token = '' } }: RequestRecord): Hostility | null {
    return this.#scene.server.familyOf(token)?.sub === hostile ? this.#hostility : null
  }

  /** Nothing is under way but what waits, and nothing moves: not by a message of Redis, nor behind a cipher either. */
  async #quiet (): Promise<void> {
    const { requests, answers, revocations, redis } = this.#scene
    const activity = this.#activity
    for (let calm = 0; calm < calmTurns;) {
      const before = activity.turns
      await new Promise(setImmediate)
      if (redis !== undefined) await Promise.all([crypto.subtle.digest('SHA-256', new Uint8Array(1)), ...this.processes.map((process) => process.hear())])
      const isQuiet = activity.open === requests.waiting + answers.waiting + revocations.waiting && activity.turns === before
      calm = isQuiet ? calm + 1 : 0
    }
  }

  #process (number: number): AppProcess {
    const process = this.processes[number % this.processes.length]
    if (process === undefined) throw new Error(`There is no process ${number}`)
    return process
  }
}
