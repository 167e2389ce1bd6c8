import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { pageHeaders } from './page.ts'

/** What a person sees where a page of the app cannot be had: what happened, and the way back. Programs get JSON as ever. */
export function failurePages (app: FastifyInstance): void {
  app.setErrorHandler<FastifyError & { headers?: Record<string, string> }>((error, request, reply) => {
    const { statusCode = 500, code, message, headers = {} } = error
    // Of outages the plugin tells once, and not for each request.
    if (statusCode >= 500 && statusCode !== 503) request.log.error(error)
    reply.code(statusCode).headers(headers)
    if (!isNavigation(request)) return reply.send({ statusCode, code, message: statusCode === 500 ? 'Something went wrong.' : message })
    return show(reply, 'That did not work', statusCode === 503
      ? 'The token service does not answer at the moment. You are not logged out by that. Go back, and try again once it is there.'
      : 'The login could not be finished. Nothing is lost: go back to the demo, and try it from there.')
  })

  app.setNotFoundHandler((request, reply) => {
    if (isNavigation(request)) return show(reply.code(404), 'There is no such page', 'The demo has one page only.')
    return reply.code(404).send({ error: 'Not Found' })
  })
}

function isNavigation ({ headers }: FastifyRequest): boolean {
  return headers['sec-fetch-mode'] === 'navigate'
}

function show (reply: FastifyReply, title: string, sentence: string): FastifyReply {
  return reply.headers(pageHeaders("'none'")).type('text/html; charset=utf-8').send(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<main class="alone">
  <h1>${title}</h1>
  <p>${sentence}</p>
  <a class="button" href="/">Back to the demo</a>
</main>
</html>`)
}
