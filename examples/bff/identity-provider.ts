import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'
import { errorPage, loginPage, loginPath, logoutPage } from './provider-pages.ts'
import { providerStorage } from './provider-storage.ts'
import { providerSwitches } from './provider-switches.ts'

/** An app, as it is registered. */
export interface Client {
  id: string
  secret: string
  callbackUri: string
  postLogoutRedirectUri?: string
  /** Its tokens are bound to a key that it holds (RFC 9449). */
  dpop?: boolean
}

interface IdentityProviderOptions {
  /** Where it listens: its own address is its name. */
  issuer: string
  /** Who may send people here. */
  clients: Client[]
  /** Where people find the app. */
  app: string
  /** The API that access tokens are for. */
  audience: string
  accessTokenSeconds: number
}

const hour = 3600

/**
 * A strict OpenID provider: a refresh token is spent once, and who uses it twice is logged out. Like the big services it is
 * made after, it is a site of its own, that knows the app only by what is registered in `clients`.
 */
export async function identityProvider (options: IdentityProviderOptions): Promise<Provider> {
  const { issuer, clients, app, audience, accessTokenSeconds } = options
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const grantsOf = new Map<string, string[]>()

  const provider: Provider = new Provider(issuer, {
    clients: clients.map(({ id, secret, callbackUri, postLogoutRedirectUri, dpop = false }) => ({
      client_id: id,
      client_secret: secret,
      redirect_uris: [callbackUri],
      post_logout_redirect_uris: postLogoutRedirectUri === undefined ? [] : [postLogoutRedirectUri],
      dpop_bound_access_tokens: dpop,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code']
    })),
    scopes: ['openid', 'profile', 'offline_access'],
    claims: { openid: ['sub'], profile: ['name'] },
    // There is no userinfo endpoint, so the claims go into the id_token.
    conformIdTokenClaims: false,
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, name: displayName(sub) }) }),

    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    ttl: { AccessToken: accessTokenSeconds, AuthorizationCode: 60, IdToken: hour, RefreshToken: 8 * hour, Session: 8 * hour, Grant: 8 * hour, Interaction: hour },
    clockTolerance: 0,

    // The app and the provider belong together, so nobody is asked for consent. A grant per login: logging out in one
    // browser leaves the others alone.
    async loadExistingGrant ({ oidc }) {
      const accountId = oidc.session?.accountId ?? ''
      const grant = new provider.Grant({ clientId: oidc.client?.clientId, accountId })
      grant.addOIDCScope('openid profile offline_access')
      grant.addResourceScope(audience, 'orders')
      grantsOf.set(accountId, [...grantsOf.get(accountId) ?? [], await grant.save()])
      return grant
    },

    interactions: { url: (_context, interaction) => loginPath + interaction.uid },
    renderError: errorPage(app),
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      revocation: { enabled: true, allowedPolicy: (_context, caller, token) => token.clientId === caller.clientId },
      rpInitiatedLogout: { enabled: true, logoutSource: logoutPage },
      // Every access token is a JWT for the API, without the app having to say so (RFC 8707).
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({ audience, scope: 'orders', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } })
      }
    },

    adapter: providerStorage(),
    jwks: { keys: [{ ...await exportJWK(privateKey), alg: 'RS256', use: 'sig' }] },
    // A browser sends the cookies of one port of a host to the others too: names of its own keep them from colliding.
    cookies: {
      keys: [randomBytes(32).toString('hex')],
      names: { session: 'idp_session', interaction: 'idp_interaction', resume: 'idp_resume' }
    }
  })
  provider.use(providerSwitches(provider, grantsOf))
  provider.use(loginPage(provider))
  return provider
}

function displayName (username: string): string {
  return username.charAt(0).toUpperCase() + username.slice(1)
}
