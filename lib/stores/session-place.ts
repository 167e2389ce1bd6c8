import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { TokenSet } from '../tokens/token-set.ts'
import type { SessionDirectory, StoreContext, TokenStore } from '../tokens/token-store.ts'
import { isHandshake, isResponseOpen } from './open-response.ts'

/** Where one session is kept, for whoever works with it: a request, or a job that has none. */
export interface SessionPlace {
  /** The instance whose HTTP client serves it. */
  readonly server: FastifyInstance
  readonly log: FastifyBaseLogger
  readonly writesResponse: boolean
  readonly ignoresContext: boolean
  readonly isEndedByApp: boolean
  readonly isHandshake: boolean
  readonly isResponseOpen: boolean
  readonly canRetract: boolean
  readonly dueAt: number | undefined
  readonly endsAt: number | undefined
  readonly expired: TokenSet | undefined
  get (): Promise<TokenSet | null> | TokenSet | null
  set (tokens: TokenSet): Promise<void> | void
  clear (): Promise<void> | void
  touch? (): Promise<void> | void
  retract? (): Promise<void> | void
}

/** The session of a request, in its store. */
export class RequestPlace implements SessionPlace {
  readonly #store: TokenStore
  readonly #context: StoreContext

  constructor (store: TokenStore, context: StoreContext) {
    this.#store = store
    this.#context = context
  }

  get server (): FastifyInstance { return this.#context.request.server }
  get log (): FastifyBaseLogger { return this.#context.request.log }
  get writesResponse (): boolean { return this.#store.writesResponse ?? false }
  get ignoresContext (): boolean { return this.#store.ignoresContext ?? false }
  get isEndedByApp (): boolean { return this.#store.endedByApp?.(this.#context) ?? false }
  get isHandshake (): boolean { return isHandshake(this.#context.request) }
  get isResponseOpen (): boolean { return isResponseOpen(this.#context) }
  get canRetract (): boolean { return this.#store.retract !== undefined }
  get dueAt (): number | undefined { return this.#store.dueAt?.(this.#context) }
  get endsAt (): number | undefined { return this.#store.endsAt?.(this.#context) }
  get expired (): TokenSet | undefined { return this.#store.expired?.(this.#context) }
  get () { return this.#store.get(this.#context) }
  set (tokens: TokenSet) { return this.#store.set(this.#context, tokens) }
  clear () { return this.#store.clear(this.#context) }
  touch () { return this.#store.touch?.(this.#context) }
  retract () { return this.#store.retract?.(this.#context) }
}

/** A session without a request, by the directory of its store. To work with it is no use of it by its user: nothing pushes back its inactivity limit. */
export class DirectoryPlace implements SessionPlace {
  readonly server: FastifyInstance
  readonly log: FastifyBaseLogger
  readonly writesResponse = false
  readonly ignoresContext = true
  readonly isEndedByApp = false
  readonly isHandshake = false
  readonly isResponseOpen = false
  readonly canRetract = false
  readonly dueAt = undefined
  readonly endsAt = undefined
  readonly expired = undefined
  readonly #directory: SessionDirectory
  readonly #provider: string
  readonly #sessionId: string

  /** @param provider - its name. */
  constructor (server: FastifyInstance, directory: SessionDirectory, provider: string, sessionId: string) {
    this.server = server
    this.log = server.log
    this.#directory = directory
    this.#provider = provider
    this.#sessionId = sessionId
  }

  async get (): Promise<TokenSet | null> {
    const [tokens] = await this.#directory.find({ sessionId: this.#sessionId }, this.#provider)
    return tokens ?? null
  }

  async set (tokens: TokenSet): Promise<void> {
    await this.#directory.set(tokens, this.#provider)
  }

  async clear (): Promise<void> {
    await this.#directory.clear(this.#sessionId, this.#provider)
  }
}
