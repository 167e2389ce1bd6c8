import type { FastifyBaseLogger } from 'fastify'
import type { Provider } from '../provider.ts'
import { tell } from '../tokens/events.ts'
import type { LogoutToken } from '../token-service/logout-token.ts'

/**
 * Ends the sessions that the provider has ended: here, and at every other process. Nothing is revoked: what the provider has
 * given to a session of its own it takes back itself, and the rest was given to outlive that (OpenID Connect Back-Channel Logout §2.7).
 */
export async function endByProvider ({ name, sharing, coordinator, exchanger, onSessionEnded }: Provider, logout: LogoutToken, log: FastifyBaseLogger): Promise<void> {
  const logins = await sharing.logins?.of(logout) ?? []
  await Promise.all(logins.map(async (login) => {
    const { sessionId } = login
    const isNews = !coordinator.hasEnded(sessionId)
    coordinator.end(sessionId)
    exchanger.forget(sessionId)
    await Promise.all([sharing.shared?.end(sessionId, login.endsAt), sharing.logins?.forget(login)])
    if (isNews) tell(log, 'onSessionEnded', onSessionEnded, { provider: name, sessionId, reason: 'backchannelLogout' })
  }))
}
