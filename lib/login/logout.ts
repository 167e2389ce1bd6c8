import type { FastifyInstance, FastifyReply } from 'fastify'
import { CrossSite } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { Paths } from '../options/paths.ts'
import type { Provider } from '../provider.ts'
import { accessorOf } from '../request/decorate-requests.ts'
import { isFromOwnPage } from '../request/own-origin.ts'
import { ownRoute } from '../request/own-route.ts'
import { createSeal } from '../stores/seal.ts'
import { endSessionAddress } from './end-session-address.ts'
import { logoutTracing } from './logout-message.ts'
import { LogoutTickets } from './logout-ticket.ts'
import { ownPrefix } from './own-cookies.ts'
import { sendPage } from './page.ts'

export interface LogoutSettings extends Pick<CheckedOptions, 'clientId' | 'issuer' | 'session'> {
  readonly provider: Provider
  readonly paths: Paths
  readonly logout: NonNullable<CheckedOptions['logout']>
}

/**
 * The logout: revokes the tokens, ends the session here, and sends the browser to the provider to end the one there
 * (OpenID Connect RP-Initiated Logout). Only by POST from the app's own pages, so that no other page can log users out.
 */
export async function logout (fastify: FastifyInstance, { provider, paths, logout: options, ...settings }: LogoutSettings): Promise<void> {
  const { clientId, session } = settings
  const cookieName = `${ownPrefix(provider.name, session)}logout`
  const tickets = new LogoutTickets(await createSeal(fastify, settings, 'logout', cookieName), { cookieName, session, clock: provider.clock })
  const home = `${paths.strippedPrefix}/`

  // A form or a fetch may send it: what is in the body says nothing.
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })

  fastify.post(options.path, ownRoute, async (request, reply) => {
    const ended = await logoutTracing.trace({ ...provider.registration, initiator: 'app' }, async () => {
      if (!isFromOwnPage(request, [provider.callbackOrigin])) throw new CrossSite('the logout')
      return await accessorOf(request).session({ provider: provider.name }).revoke()
    })
    const address = endSessionAddress(provider.tokenService.metadata, { clientId, ...options, idToken: ended?.idToken })
    reply.header('cache-control', 'no-store')
    const redirectTo = address === undefined ? options.postLogoutRedirectUri ?? home : `${paths.logout}/${tickets.issue(reply, address)}`
    return request.headers.accept?.includes('application/json') ? { redirectTo } : goOn(reply, redirectTo)
  })

  fastify.get<{ Params: { number: string } }>(`${options.path}/:number`, ownRoute, async (request, reply) => {
    reply.header('cache-control', 'no-store').header('referrer-policy', 'no-referrer')
    return reply.redirect(tickets.redeem(request, reply, request.params.number) ?? inAscii(options.postLogoutRedirectUri ?? home), 303)
  })
}

/** Chromium holds a form to the page's `form-action` along all redirects (CSP Level 3 §6.4.1): so this is an answer of its own, which goes on by itself. */
function goOn (reply: FastifyReply, to: string): FastifyReply {
  return sendPage(reply.header('refresh', `0; url=${inAscii(to)}`), { title: 'Logged out', sentences: ['You are logged out of this app.'], link: { href: to, text: 'Go on' } })
}

/** As a header can hold it (RFC 3987 §3.1). */
function inAscii (address: string): string {
  return address.replace(/[^\x21-\x7E]+/g, encodeURIComponent)
}
