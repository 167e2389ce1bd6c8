import { bff } from './app.ts'
import type { Membership, News } from './app-processes.ts'

/* One process of the app, as app-processes.ts starts it. */
const { number, redis, options, port, host }: Membership = JSON.parse(process.env.MEMBERSHIP ?? '')
const app = await bff(options, {
  number,
  redis,
  tell: (sessionId, entry) => { process.send?.({ sessionId, entry } satisfies News) },
  onTold: (listener) => { process.on('message', ({ sessionId, entry }: News) => listener(sessionId, entry)) }
})
// Ctrl-C reaches all processes of the terminal; the first one says when to end.
process.on('SIGINT', () => {})
process.once('SIGTERM', () => { app.close().finally(() => process.exit()) })
await app.listen({ port, host })
