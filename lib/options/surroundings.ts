/** What the app has brought besides the options. */
export interface Surroundings {
  /** What Fastify puts before the routes of this context; default: nothing. */
  readonly prefix?: string
  /** @fastify/session is registered: the tokens live in there. */
  readonly session: boolean
  /** @fastify/secure-session is registered: the tokens can end with its session. */
  readonly secureSession: boolean
  /** What the app has decorated as `tokenStore`. */
  readonly tokenStore: 'nobody' | 'store' | 'factory'
  /** Whether requests have something of this name. */
  readonly onRequest: (name: string) => boolean
  /** The names of earlier registrations. */
  readonly names: readonly string[]
  /** The names of their clients. */
  readonly clients: readonly string[]
  /** The names of their APIs. */
  readonly apis?: readonly string[]
}
