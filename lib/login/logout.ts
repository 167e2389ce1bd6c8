import type { FastifyInstance, FastifyRequest } from 'fastify'
import { accessorOf } from '../request/decorate-requests.ts'
import { CrossSite } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { Provider } from '../provider.ts'

export interface LogoutSettings {
  readonly provider: Provider
  readonly clientId: string
  readonly logout: NonNullable<CheckedOptions['logout']>
}

/**
 * The logout: revokes the tokens, ends the session here, and sends the browser to the provider to end the one there
 * (OpenID Connect RP-Initiated Logout). Only by POST from the app's own pages, so that no other page can log users out.
 */
export async function logout (fastify: FastifyInstance, { provider, clientId, logout: options }: LogoutSettings): Promise<void> {
  // A form or a fetch may send it: what is in the body says nothing.
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })

  fastify.post(options.path, { config: { tokens: false } }, async (request, reply) => {
    if (!isFromOwnOrigin(request)) throw new CrossSite('the logout')
    const ended = await accessorOf(request).session({ provider: provider.name }).revoke()
    const redirectTo = endSessionUri(ended?.idToken) ?? options.postLogoutRedirectUri ?? '/'
    reply.header('cache-control', 'no-store')
    return request.headers.accept?.includes('application/json') ? { redirectTo } : reply.redirect(redirectTo, 303)
  })

  function endSessionUri (idToken: string | undefined): string | undefined {
    const { end_session_endpoint: endpoint } = provider.tokenService.metadata
    if (endpoint === undefined) return undefined
    const uri = new URL(endpoint)
    uri.searchParams.set('client_id', clientId)
    if (idToken !== undefined) uri.searchParams.set('id_token_hint', idToken)
    if (options.postLogoutRedirectUri !== undefined) uri.searchParams.set('post_logout_redirect_uri', options.postLogoutRedirectUri)
    return uri.href
  }
}

/** Browsers say where a POST comes from: Sec-Fetch-Site, or Origin where they are older. `trustProxy` decides what the own host is. */
function isFromOwnOrigin (request: FastifyRequest): boolean {
  const { 'sec-fetch-site': site, origin } = request.headers
  if (site !== undefined) return site === 'same-origin'
  return origin === `${request.protocol}://${request.host}`
}
