import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { StoreContext, TokenStore } from '../tokens/token-store.ts'
import { CookieJar } from './cookie-jar.ts'

/** What a test does with a store inside of one request. */
export type StoreWork<Result> = (store: TokenStore, context: StoreContext) => Result | Promise<Result>

type Task = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

/** A small app around a store: its visitors are browsers without a page, which come by https. */
export class StoreApp {
  readonly store: TokenStore
  readonly #app: FastifyInstance
  readonly #tasks = new Map<string, Task>()

  private constructor (app: FastifyInstance, store: TokenStore) {
    this.#app = app
    this.store = store
    app.get('/store', async (request, reply) => {
      await this.#tasks.get(String(request.headers['x-task']))?.(request, reply)
      return {}
    })
  }

  static async start (create: (app: FastifyInstance) => TokenStore | Promise<TokenStore>): Promise<StoreApp> {
    const app = Fastify({ trustProxy: true })
    return new StoreApp(app, await create(app))
  }

  visitor (): Visitor {
    return new Visitor(this)
  }

  /** Runs the task inside of a request with these cookies: what is set by the response. */
  async visit (task: Task, cookie: string): Promise<string[]> {
    const id = randomUUID()
    this.#tasks.set(id, task)
    const response = await this.#app.inject({ url: '/store', headers: { 'x-task': id, 'x-forwarded-proto': 'https', ...(cookie !== '' && { cookie }) } })
    this.#tasks.delete(id)
    if (response.statusCode !== 200) throw new Error(`A request to the store was answered with ${response.statusCode}: ${response.body}`)
    return [response.headers['set-cookie'] ?? []].flat()
  }

  async close (): Promise<void> {
    await this.#app.close()
  }
}

/** Somebody with a cookie jar. */
export class Visitor {
  readonly #app: StoreApp
  readonly #cookies: CookieJar

  constructor (app: StoreApp, cookies = new CookieJar()) {
    this.#app = app
    this.#cookies = cookies
  }

  /** A late request, or a thief: the cookies of this moment. */
  copy (): Visitor {
    return new Visitor(this.#app, this.#cookies.copy())
  }

  /** One request, and the work inside of it. What the work throws is thrown here. */
  async request<Result> (work: StoreWork<Result>, provider = 'default'): Promise<Result> {
    let outcome: { result: Result } | { error: unknown } | undefined
    const setCookies = await this.#app.visit(async (request, reply) => {
      try {
        outcome = { result: await work(this.#app.store, { request, reply, provider }) }
      } catch (error) {
        outcome = { error }
      }
    }, this.#cookies.header)
    this.#cookies.keep(setCookies)
    if (outcome === undefined) throw new Error('The request was answered before it came to the store')
    if ('error' in outcome) throw outcome.error
    return outcome.result
  }
}
