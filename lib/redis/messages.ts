import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { RedisClient, RedisSubscriber } from './client.ts'
import type { EndedSessions } from './ended-sessions.ts'
import type { WakeUps } from './wake-ups.ts'

/** What a process is told, on a connection of its own. */
export class Messages {
  /** Where those who are at something tell this process that they are done. */
  readonly ownChannel = `tokens:process:${randomBytes(9).toString('base64url')}`
  readonly #subscriber: RedisSubscriber

  constructor (redis: RedisClient, log: FastifyBaseLogger, ended: EndedSessions, { wake, wakeAll }: WakeUps) {
    const subscriber = redis.duplicate()
    this.#subscriber = subscriber
    subscriber.on('error', (error) => { log.debug({ err: error }, 'The connection that hears messages of Redis failed; it comes back by itself') })
    subscriber.on('messageBuffer', (channel, message) => String(channel) === ended.name ? ended.hear(String(message)) : wake(message))
    // What was said before it listens, again perhaps, was missed.
    subscriber.on('ready', () => {
      subscriber.subscribe(this.ownChannel, ended.name).then(() => {
        ended.catchUpAgain()
        wakeAll()
      }).catch(() => {})
    })
    // With lazyConnect, nothing has connected it.
    if (subscriber.status === 'wait') subscriber.connect().catch(() => {})
  }

  close (): void {
    this.#subscriber.disconnect()
  }
}
