import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Provider, type KoaContextWithOIDC } from 'oidc-provider'
import type { Test } from 'tap'
import { Browser } from './browser.ts'

const interactionPath = '/interaction/'
const hour = 3600

export interface RealProvider {
  readonly issuer: string
  readonly client: { readonly id: string, readonly secret: string }
  /** What the token endpoint was asked for, and what it answered, in this order. */
  readonly tokenRequests: Array<{ grant: unknown, status: number, hasAuthorization: boolean }>
  /** Whether the userinfo endpoint takes an access token: what an API would say. */
  accepts (accessToken: string): Promise<boolean>
  /** Goes through the login page, where somebody is logged in at once: the path that the browser is sent back to. */
  authorize (url: URL): Promise<string>
}

export interface RealProviderOptions {
  readonly callbackUri: string
  readonly clientAuthentication: 'client_secret_basic' | 'client_secret_post'
}

/** A real OpenID provider, oidc-provider, that is strict: a refresh token is good once, and who sends it again loses the grant. */
export async function startRealProvider (t: Test, { callbackUri, clientAuthentication }: RealProviderOptions): Promise<RealProvider> {
  const client = { id: 'web', secret: 'odd: %&+ secret' }
  const tokenRequests: RealProvider['tokenRequests'] = []
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The provider has no port')
  const issuer = `http://127.0.0.1:${address.port}`

  const provider: Provider = new Provider(issuer, {
    clients: [{
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: [callbackUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: clientAuthentication
    }],
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    ttl: { AccessToken: 60, AuthorizationCode: 60, IdToken: hour, RefreshToken: hour, Session: hour, Grant: hour, Interaction: hour },
    clockTolerance: 0,
    async loadExistingGrant ({ oidc }) {
      const grant = new provider.Grant({ clientId: client.id, accountId: oidc.session?.accountId })
      grant.addOIDCScope('openid offline_access')
      await grant.save()
      return grant
    },
    interactions: { url: (_context, interaction) => interactionPath + interaction.uid },
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: true, allowedPolicy: (_context, caller, token) => token.clientId === caller.clientId }
    },
    cookies: { keys: [randomBytes(32).toString('hex')] }
  })
  provider.use(async (context: KoaContextWithOIDC, next: () => Promise<unknown>) => {
    if (context.path.startsWith(interactionPath)) {
      context.respond = false
      await provider.interactionFinished(context.req, context.res, { login: { accountId: 'alice' }, consent: {} })
      return
    }
    await next()
    if (context.path === '/token') {
      tokenRequests.push({ grant: context.oidc.params?.grant_type, status: context.status, hasAuthorization: context.get('authorization') !== '' })
    }
  })
  server.on('request', provider.callback())

  return {
    issuer,
    client,
    tokenRequests,
    accepts: async (accessToken) => (await fetch(`${issuer}/me`, { headers: { authorization: `Bearer ${accessToken}` } })).ok,
    authorize: async (url) => {
      const browser = new Browser(issuer)
      let location = url
      while (location.origin === issuer) {
        const answer = await browser.get(location.href)
        location = new URL(answer.headers.get('location') ?? '', issuer)
        if (answer.status !== 303) throw new Error(`The provider answered ${answer.status}: ${answer.text}`)
      }
      return location.pathname + location.search
    }
  }
}
