import Fastify, { type FastifyInstance } from 'fastify'
import { DecoratorHandler, type Dispatcher } from 'undici'
import type { AuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { Gate } from '../../support/authorization-server/gate.ts'
import type { RequestRecord } from '../../support/authorization-server/request-log.ts'
import tokenManagement from '../../../lib/index.ts'
import { sessionKey } from '../../support/start-app.ts'
import { type Hostility, type TroubleName, troubles } from './script.ts'

/** The person whose token requests all go wrong. */
export const hostile = 'hostile'

/** The loop turns that nothing must happen in before all that can go on has gone on. */
const calmTurns = 3

/** What the world tells of token requests. */
export interface Witness {
  /** A refresh token is presented. */
  presented (record: RequestRecord): void
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
}

export function sceneOf (server: AuthorizationServer, dispatcher: Dispatcher): Scene {
  return { server, dispatcher, requests: server.hold(), answers: server.hold({ what: 'answers' }), revocations: server.hold({ endpoint: 'revocation' }) }
}

/** One app in front of the scene, from its first request to its last. */
export class World {
  readonly app: FastifyInstance
  /** Seconds since the epoch: what the clock of the app says, and what time it is, for the server. */
  readonly clock = { now: 1_800_000_000 }
  readonly time = { now: 1_800_000_000 }
  readonly #scene: Scene
  readonly #witness: Witness
  #hostility: Hostility | null
  readonly #slow = new Gate()
  /** Calls to the server that are not over. */
  #open = 0
  #turns = 0
  #seen = 0
  readonly #presented: RequestRecord[] = []
  readonly #answered: RequestRecord[] = []

  constructor (scene: Scene, witness: Witness, hostility: Hostility | null) {
    this.#scene = scene
    this.#hostility = hostility
    this.#witness = witness
    scene.server.forgetRequests()
    scene.server.settings.now = () => this.time.now * 1000
    this.app = Fastify({ logger: false })
    this.app.addHook('onSend', async () => { this.#turns++ })
  }

  async start (): Promise<void> {
    const { server, dispatcher } = this.#scene
    await this.app.register(tokenManagement, {
      metadata: { issuer: server.issuer, token_endpoint: `${server.issuer}/token`, revocation_endpoint: `${server.issuer}/revoke`, id_token_signing_alg_values_supported: ['ES256'] },
      clientId: server.settings.clientId,
      clientSecret: server.settings.clientSecret,
      session: { key: sessionKey },
      backchannel: this.#watched(dispatcher),
      clock: () => this.clock.now
    })
    this.#addRoutes()
  }

  /** Settles when everybody waits at a gate, and nothing moves any more. */
  async settle (): Promise<void> {
    await this.#quiet()
    const records = this.#scene.server.requestsTo('token')
    for (const record of records.slice(this.#seen)) {
      this.#presented.push(record)
      this.#witness.presented(record)
    }
    this.#seen = records.length
  }

  /** Lets everybody go who still waits, and nobody judges what comes of it. */
  async close (): Promise<void> {
    const { server, requests, answers, revocations } = this.#scene
    server.clearFaults()
    while (this.waiting > 0) {
      for (const gate of [requests, answers, revocations, this.#slow]) while (gate.waiting > 0) gate.admit(0)
      await this.#quiet()
    }
    await this.app.close()
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
  makePeace (): void {
    this.#hostility = null
  }

  #hostilityTo ({ params: { refresh_token: token = '' } }: RequestRecord): Hostility | null {
    return this.#scene.server.familyOf(token)?.sub === hostile ? this.#hostility : null
  }

  async #quiet (): Promise<void> {
    const { requests, answers, revocations } = this.#scene
    for (let calm = 0; calm < calmTurns;) {
      const before = this.#turns
      await new Promise(setImmediate)
      const isQuiet = this.#open === requests.waiting + answers.waiting + revocations.waiting && this.#turns === before
      calm = isQuiet ? calm + 1 : 0
    }
  }

  #addRoutes (): void {
    this.app.post<{ Body: { access_token: string, token_type: string } }>('/login', { config: { tokens: false } }, async (request) => {
      await request.tokens.save(request.body)
      return {}
    })
    for (const how of ['clear', 'revoke'] as const) {
      this.app.post(`/${how}`, { config: { tokens: false } }, async (request) => {
        await request.tokens[how]()
        return {}
      })
    }
    for (const [path, config] of [['/hooked', {}], ['/bare', { tokens: false }]] as const) {
      this.app.get<{ Querystring: { resource?: string, force?: string, beside?: string, ending?: string } }>(path, { config }, async (request) => {
        const { resource, force, beside, ending } = request.query
        const [token] = await Promise.all([
          request.accessToken({ resource, forceRenewal: force === 'true' ? true : force }),
          ...beside === undefined ? [] : [request.accessToken()]
        ])
        if (ending === 'wait') await this.#slow.pass()
        if (ending === 'fail') throw new Error('as the script says')
        return { token }
      })
    }
  }

  /** Counts the calls that are under way. */
  #watched (dispatcher: Dispatcher): Dispatcher {
    return dispatcher.compose((dispatch) => (options, handler) => {
      this.#open++
      const watched: Dispatcher.DispatchHandler = new DecoratorHandler(handler)
      const end = watched.onResponseEnd?.bind(watched)
      const fail = watched.onResponseError?.bind(watched)
      watched.onResponseEnd = (controller, trailers) => {
        this.#open--
        this.#turns++
        end?.(controller, trailers)
      }
      watched.onResponseError = (controller, error) => {
        this.#open--
        this.#turns++
        fail?.(controller, error)
      }
      return dispatch(options, watched)
    })
  }
}
