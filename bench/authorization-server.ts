import { setMaxListeners } from 'node:events'
import { type AuthorizationServer, startAuthorizationServer } from '../test/support/authorization-server/authorization-server.ts'
import type { Settings } from '../test/support/authorization-server/settings.ts'

// Its one signal of closing is heard by every token request that waits; Node.js would warn of more than 10.
setMaxListeners(100)

/** The strict authorization server of the tests: rotation, and reuse revokes the family, without any grace. */
export async function startStrictServer (settings: Partial<Settings>, wantsHttps = false): Promise<AuthorizationServer> {
  return await startAuthorizationServer({ ...settings, behindTls: wantsHttps })
}

/** The part of the proxy that would have ended the TLS: it is a plain socket all the same. */
export function overHttp (url: string | URL): string {
  return String(url).replace(/^https:/, 'http:')
}
