/** What is needed of ioredis, or of the client that @fastify/redis gives: one Redis or Valkey, with Sentinel, or a Cluster. */
export interface RedisClient {
  readonly status: string
  callBuffer (command: string, ...values: Array<string | Buffer | number>): Promise<unknown>
  /** A connection of its own, to hear messages. */
  duplicate (): RedisSubscriber
  on (event: 'ready', listener: () => void): unknown
  off (event: 'ready', listener: () => void): unknown
}

/** A connection that hears messages. */
export interface RedisSubscriber {
  readonly status: string
  connect (): Promise<void>
  subscribe (...channels: string[]): Promise<unknown>
  on (event: 'ready', listener: () => void): unknown
  on (event: 'messageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown
  on (event: 'error', listener: (error: Error) => void): unknown
  disconnect (): void
}
