import type { FastifyReply } from 'fastify'

/** Whether a cookie of this name is meant. */
type IsOurs = (name: string) => boolean

/** Sets cookies in place of all that were set before and are meant: Fastify itself would send both. */
export function putCookies (reply: FastifyReply, isOurs: IsOurs, cookies: readonly string[]): void {
  dropCookies(reply, isOurs)
  for (const cookie of cookies) reply.header('set-cookie', cookie)
  reply.header('cache-control', 'no-store')
}

/** Takes back what was set. */
export function dropCookies (reply: FastifyReply, isOurs: IsOurs): void {
  const cookies = cookiesOf(reply)
  if (cookies.length === 0) return
  reply.removeHeader('set-cookie')
  for (const cookie of cookies) if (!isOurs(nameOf(cookie))) reply.header('set-cookie', cookie)
}

/** A response that sets the session is nobody else's (RFC 9111 §5.2.2.5). Handlers may set the header later, so it is set again as the response is sent. */
export function forbidCaching (reply: FastifyReply, isOurs: IsOurs): void {
  if (reply.hasHeader('set-cookie') && cookiesOf(reply).some((cookie) => isOurs(nameOf(cookie)))) reply.header('cache-control', 'no-store')
}

function cookiesOf (reply: FastifyReply): string[] {
  return [reply.getHeader('set-cookie') ?? []].flat().map(String)
}

function nameOf (cookie: string): string {
  return cookie.slice(0, cookie.indexOf('='))
}
