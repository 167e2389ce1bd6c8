import type { CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** How long somebody may take at the login page, in seconds. */
const LOGIN_SECONDS = 3600

/** What the browser holds of a login that is under way. */
export interface LoginCookies {
  readonly names: Readonly<Record<'state' | 'codeVerifier' | 'returnTo' | 'dpopKey', string>>
  readonly attributes: Readonly<CookieSerializeOptions & { path: string, signed: false }>
}

export function loginCookies (provider: string, secure: boolean): LoginCookies {
  const prefix = `${secure ? '__Host-' : ''}${provider === 'default' ? '' : `${provider}-`}login-`
  return {
    names: { state: `${prefix}state`, codeVerifier: `${prefix}verifier`, returnTo: `${prefix}return-to`, dpopKey: `${prefix}dpop-key` },
    attributes: { path: '/', httpOnly: true, secure, sameSite: 'lax', signed: false, maxAge: LOGIN_SECONDS }
  }
}

/** The login is over, whatever came of it. */
export function clearLoginCookies ({ cookies }: FastifyRequest, reply: FastifyReply, { names, attributes: { path, secure = false } }: LoginCookies): void {
  for (const name of Object.values(names)) if (name in cookies) reply.clearCookie(name, { path, secure })
}
