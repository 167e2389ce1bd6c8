import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { liveList } from './live-list.ts'

interface SessionOptions {
  list: ReturnType<typeof liveList>
  /** The session's cookie, as the plugin is told to set it. */
  cookie: { name: string, path: string, sameSite: string, secure: boolean, httpOnly: boolean }
}

/** What the page is told of the session besides who it is. Nothing here refreshes anything, so that it answers in an outage, too. */
export async function session (app: FastifyInstance, { list, cookie }: SessionOptions): Promise<void> {
  const guarded = { onRequest: app.requireCsrfHeader, config: { tokens: false } } as const

  app.get('/events', guarded, async (request, reply) => {
    const sessionId = await sessionIdOf(request, reply)
    if (sessionId === undefined) return reply.code(401).send({ error: 'nobody is logged in' })
    return reply.type('text/event-stream').header('cache-control', 'no-store').send(list.follow(sessionId))
  })

  // No script can see the cookie, so the app says what it looks like.
  app.get('/cookie', guarded, async (request, reply) => {
    const isPart = new RegExp(`^${cookie.name}(\\.\\d)?=`)
    const parts = (request.headers.cookie ?? '').split('; ').filter((pair) => isPart.test(pair))
    return reply.header('cache-control', 'no-store').send({ ...cookie, bytes: parts.join('').length })
  })
}

/** The same from the login to the end, however often its tokens are refreshed. */
export async function sessionIdOf (request: FastifyRequest, reply: FastifyReply): Promise<string | undefined> {
  return (await request.server.tokenStore.get({ request, reply, provider: 'default' }))?.sessionId
}
