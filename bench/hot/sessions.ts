import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { startAuthorizationServer } from '../../test/support/authorization-server/authorization-server.ts'
import type { Settings } from '../../test/support/authorization-server/settings.ts'
import { sessionKey } from '../subjects/this-plugin.ts'
import type { Issuer, SavedTokens } from '../subject.ts'

const { default: tokenManagement } = await import('../../dist/lib/index.js')

const groups = (count: number) => Array.from({ length: count }, () => randomUUID())

/** Tokens of about 1.5 KB (access), 1 KB (refresh) and 1.2 KB (id_token), which last for the whole bench. */
export const largeTokens: Partial<Settings> = {
  expiresIn: 3600,
  accessTokenFormat: 'jwt',
  tokenBytes: 750,
  accessTokenClaims: { name: 'Alice Example', email: 'alice@example.com', groups: groups(18) },
  idTokenClaims: { name: 'Alice Example', email: 'alice@example.com', email_verified: true, groups: groups(13) }
}

/** Such tokens. */
export async function savedTokens (): Promise<SavedTokens> {
  const server = await startAuthorizationServer(largeTokens)
  const { id_token: idToken = '', ...tokens } = await server.issue()
  await server.close()
  return { ...tokens, id_token: idToken }
}

/** So many sessions with the same tokens: the cookies of a browser each, none of which was ever sent before. */
export async function distinctSessions (count: number, { issuer, settings: { clientId, clientSecret } }: Issuer, tokens: SavedTokens): Promise<string[]> {
  const app = Fastify()
  await app.register(tokenManagement, {
    metadata: { issuer, token_endpoint: `${issuer}/token` },
    clientId,
    clientSecret,
    session: { key: sessionKey, cookie: { secure: false } }
  })
  app.get('/save', async (request) => {
    await request.tokens.save({ ...tokens, token_type: 'Bearer', expires_in: 3600 })
    return {}
  })
  const cookies: string[] = []
  while (cookies.length < count) {
    const { headers } = await app.inject('/save')
    cookies.push([headers['set-cookie'] ?? []].flat().map((cookie) => cookie.split(';', 1)[0]).join('; '))
  }
  await app.close()
  return cookies
}
