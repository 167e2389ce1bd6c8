import type { SerializeOptions } from 'cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'

/**
 * The attributes of what a login or a logout leaves in the browser, whatever the app says of its own cookies. The way back
 * from the provider is a navigation from another site: Lax comes along there, Strict does not, and in a frame only None.
 */
export function ownAttributes ({ cookie }: CheckedOptions['session']): SerializeOptions {
  const { secure, sameSite, partitioned } = cookie
  return { path: '/', httpOnly: true, secure, sameSite: sameSite === 'none' ? 'none' : 'lax', partitioned }
}

/** Their names begin like this. */
export function ownPrefix (provider: string, { cookie }: CheckedOptions['session']): string {
  return `${cookie.secure ? '__Host-' : ''}${provider === 'default' ? '' : `${provider}-`}`
}

/** The cookies of a request whose names are meant, as they were sent: a browser may have two of one name (RFC 6265 §5.4). */
export function cookiesOf ({ headers: { cookie = '' } }: FastifyRequest, isMeant: (name: string) => boolean): Array<[name: string, value: string]> {
  return cookie.split(';').flatMap((pair) => {
    const end = pair.indexOf('=')
    const name = pair.slice(0, Math.max(0, end)).trim()
    return isMeant(name) ? [[name, pair.slice(end + 1).trim()]] : []
  })
}

/** Sets a cookie in the syntax of Set-Cookie, beside all others. */
export function setCookie (reply: FastifyReply, cookie: string): void {
  reply.header('set-cookie', cookie).header('cache-control', 'no-store')
}
