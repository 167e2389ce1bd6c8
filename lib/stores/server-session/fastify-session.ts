import type { FastifyInstance, FastifyRequest } from 'fastify'

/** `request.session`, as @fastify/session makes it. */
export interface ServerSession {
  readonly sessionId: string
  readonly cookie: { readonly secure?: boolean | null }
  /** Gives the session another id, and leaves of its data only what is named. */
  regenerate (keys?: string[]): Promise<void>
  save (): Promise<void>
  /** The app's data. */
  [key: string]: unknown
}

/** What a record needs so that a store of @fastify/session, or of express-session, knows how long to keep it. */
export interface SessionRecord {
  readonly cookie: { readonly expires: Date, readonly maxAge: number, readonly originalMaxAge: number }
  readonly [key: string]: unknown
}

type Callback = (error?: unknown, result?: unknown) => void

interface SessionStore {
  get (id: string, callback: Callback): void
  set (id: string, record: SessionRecord, callback: Callback): void
  destroy (id: string, callback: Callback): void
}

/** The request's session; `undefined` where the app has destroyed it, or its cookie is for other paths. */
export function sessionOf (request: FastifyRequest): ServerSession | undefined {
  const session = request.getDecorator<ServerSession | { sessionId?: undefined } | null>('session')
  return session?.sessionId === undefined ? undefined : session
}

/** What tells the registration of @fastify/session that this context has from others that the app may have. */
export function sessionsOf (fastify: FastifyInstance): object {
  const decorator: unknown = Reflect.get(fastify, 'decryptSession') // as it is: getDecorator() would bind it
  return typeof decorator === 'function' ? decorator : fastify.server
}

/** Records of our own in the store that the app has given to @fastify/session: beside the sessions, not in them. */
export const sessionRecords = {
  async read (request: FastifyRequest, id: string): Promise<unknown> {
    return await calling((callback) => storeOf(request).get(id, callback)).catch((error: unknown) => {
      // As @fastify/session reads it, for stores on files.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    })
  },

  async write (request: FastifyRequest, id: string, record: SessionRecord): Promise<void> {
    await calling((callback) => storeOf(request).set(id, record, callback))
  },

  async destroy (request: FastifyRequest, id: string): Promise<void> {
    await calling((callback) => storeOf(request).destroy(id, callback))
  }
}

function storeOf (request: FastifyRequest): SessionStore {
  return request.getDecorator<SessionStore>('sessionStore')
}

async function calling (call: (callback: Callback) => void): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    call((error, result) => {
      if (error) reject(error)
      else resolve(result)
    })
  })
}
