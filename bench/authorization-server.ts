import { setMaxListeners } from 'node:events'
import { AuthorizationServer, startAuthorizationServer } from '../test/authorization-server/authorization-server.ts'
import { Codes } from '../test/authorization-server/codes.ts'
import { Families } from '../test/authorization-server/families.ts'
import { settingsFrom, type Settings } from '../test/authorization-server/settings.ts'
import { createSigner } from '../test/authorization-server/signer.ts'

// Its one signal of closing is heard by every token request that waits; Node.js would warn of more than 10.
setMaxListeners(100)

/** The strict authorization server of the tests: rotation, and reuse revokes the family, without any grace. */
export async function startStrictServer (settings: Partial<Settings>, wantsHttps = false): Promise<AuthorizationServer> {
  return wantsHttps ? await startServerNamedHttps(settings) : await startAuthorizationServer(settings)
}

/** The same, on the same plain socket; but it calls itself https, as if a proxy before it had ended the TLS: `overHttp`. */
async function startServerNamedHttps (given: Partial<Settings>): Promise<AuthorizationServer> {
  const settings = settingsFrom(given)
  const families = new Families(settings)
  let issuer = ''
  const server = new AuthorizationServer({
    get issuer () { return issuer },
    set issuer (origin) { issuer = origin.replace('http:', 'https:') },
    settings,
    families,
    codes: new Codes(families, settings.now),
    signer: await createSigner()
  })
  await server.acceptConnections()
  return server
}

/** The part of that proxy. */
export function overHttp (url: string | URL): string {
  return String(url).replace(/^https:/, 'http:')
}
