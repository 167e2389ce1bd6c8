import type { Provider } from '../provider.ts'
import { endSessions } from '../request/end-sessions.ts'
import type { Caller } from '../request/session-end.ts'
import { tellSessionEnded } from '../tokens/events.ts'
import { isMeant, ownerOf, type ProviderLogout, queriesOf } from '../tokens/provider-logout.ts'

const reason = 'backchannelLogout'

/** Ends the sessions that the provider has ended: here, and at every other process. Rejects where one may go on. */
export async function endByProvider (provider: Provider, caller: Caller, logout: ProviderLogout): Promise<void> {
  if (provider.sharing.logins !== undefined) return await endLogins(provider, caller, logout)
  for (const query of queriesOf(logout)) {
    await endSessions(provider, caller.server, query, { isMeant: (tokens) => isMeant(ownerOf(tokens), logout), reason })
  }
}

/** Of sessions that are in cookies nobody has the tokens now, so nothing is revoked: what is of its own session the provider takes back itself. */
async function endLogins ({ name, sharing, coordinator, exchanger, onSessionEnded }: Provider, { log }: Caller, logout: ProviderLogout): Promise<void> {
  const logins = await sharing.logins?.of(logout) ?? []
  await Promise.all(logins.map(async (login) => {
    const { sessionId, endsAt } = login
    const isNews = !coordinator.hasEnded(sessionId)
    coordinator.end(sessionId)
    exchanger.forget(sessionId)
    await Promise.all([sharing.shared?.end(sessionId, endsAt), sharing.logins?.forget(login)])
    if (isNews) tellSessionEnded(log, onSessionEnded, { provider: name, sessionId, reason })
  }))
}
