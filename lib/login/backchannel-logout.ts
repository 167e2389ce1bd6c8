import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hasCode, InvalidOptions } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { ownRoute } from '../request/own-route.ts'
import { BackchannelError } from '../token-service/backchannel.ts'
import { BadLogoutToken } from '../token-service/logout-token.ts'
import { logoutTracing } from './logout-message.ts'
import { endByProvider } from './provider-logout.ts'
import { seenLogoutTokens } from './seen-logout-tokens.ts'

/** No honest logout token is longer. */
const MAX_BYTES = 65_536

/** Seconds after which the provider may try again what could not be done. */
const RETRY_AFTER = 5

/** Seconds by which the clocks of this app's machines may differ. */
const REPLAY_MARGIN = 60

export interface BackchannelLogoutSettings {
  readonly provider: Provider
  readonly path: string
}

/**
 * The route to which the provider posts that it has ended sessions (OpenID Connect Back-Channel Logout §2.5): 200 when these are
 * ended here, 400 for what is no logout token of this provider, and 503 where it is to try again.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS where no session could be found, or no logout token verified.
 */
export async function backchannelLogout (fastify: FastifyInstance, { provider, path }: BackchannelLogoutSettings): Promise<void> {
  const { logoutTokens, backchannelFor, sharing, storeFor, tokenService, clock } = provider
  const seen = sharing.shared?.logouts ?? seenLogoutTokens(clock)
  if (sharing.logins === undefined && storeFor(fastify).directory === undefined) throw new InvalidOptions('logout.backchannelLogoutPath needs the option coordinator, such as redisRefreshCoordinator({ redis }), or a store that finds its sessions: in cookies alone nobody finds them. See docs/login.md')
  if (tokenService.metadata.jwks_uri === undefined) throw new InvalidOptions('logout.backchannelLogoutPath needs a provider whose metadata has a jwks_uri: without its keys, anybody could log users out')

  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: MAX_BYTES }, async (_request: unknown, body: string) => new URLSearchParams(body))
  // What is no form; whatever else fails before the handler is the app's.
  fastify.setErrorHandler<Error>(async (error, _request, reply) => {
    if (hasCode(error, 'FST_ERR_CTP_')) return refuse(reply, error)
    throw error
  })

  const end = async (token: string, { server, log }: FastifyRequest): Promise<void> => {
    const logout = await logoutTokens.read(token, backchannelFor(server))
    if (await seen.hasSeen(logout.jti)) throw new BadLogoutToken('it was done before')
    await endByProvider(provider, { server, log }, logout)
    await seen.see(logout.jti, logout.goodUntil - clock() + REPLAY_MARGIN)
  }

  fastify.post(path, ownRoute, async (request, reply) => {
    try {
      await logoutTracing.trace({ ...provider.registration, initiator: 'provider' }, async () => await end(logoutTokenIn(request.body), request))
      return reply.header('cache-control', 'no-store').send()
    } catch (error) {
      if (error instanceof BadLogoutToken) {
        request.log.info({ err: error }, 'A logout token was refused')
        return refuse(reply, error)
      }
      // Anybody may have sent it.
      if (error instanceof BackchannelError) request.log.warn({ err: error }, 'A logout token could not be checked: if it was the provider who sent it, it is to try again')
      else request.log.error({ err: error }, 'The provider has ended sessions, and they could not be ended here: it is asked to try again')
      return reply.code(503).headers({ 'cache-control': 'no-store', 'retry-after': String(RETRY_AFTER) }).send({ error: 'temporarily_unavailable' })
    }
  })
}

/** @throws BadLogoutToken */
function logoutTokenIn (body: unknown): string {
  const tokens = body instanceof URLSearchParams ? body.getAll('logout_token') : []
  const [token] = tokens
  if (token === undefined || tokens.length > 1) throw new BadLogoutToken('there is to be one logout_token, in a form')
  return token
}

function refuse (reply: FastifyReply, { message }: Error): FastifyReply {
  return reply.code(400).header('cache-control', 'no-store').send({ error: 'invalid_request', error_description: message })
}
