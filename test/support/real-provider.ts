import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { type ClientMetadata, type Configuration, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { Test } from 'tap'
import { certificateOf } from '../../lib/testing/provider/client-certificate.ts'
import { Listener } from '../../lib/testing/provider/listener.ts'
import { Browser } from './browser.ts'

const interactionPath = '/interaction/'
const hour = 3600

/** One request to an endpoint that clients authenticate at: what it was for, what was answered, and what was seen of the client. */
export interface SeenRequest {
  /** The grant_type; the path of what is no token request. */
  readonly for: unknown
  readonly status: number
  /** The method that the client is registered with, where it was let in. */
  readonly method: string | undefined
  /** What the client has shown, by whatever method: all of it. */
  readonly credentials: string[]
  /** Whether there was a proof of possession (RFC 9449). */
  readonly proof: boolean
  /** The error answered, where there was one. */
  readonly error: unknown
}

export interface RealProvider {
  readonly issuer: string
  readonly client: { readonly id: string, readonly secret: string }
  /** What clients have asked for, in this order. */
  readonly seen: SeenRequest[]
  /** Those of them that asked for tokens. */
  tokenRequests (): SeenRequest[]
  /** Whether the userinfo endpoint takes an access token: what an API would say. */
  accepts (accessToken: string): Promise<boolean>
  /** Whether an access token lives, and the thumbprint of the key that it is bound to. */
  find (accessToken: string): Promise<{ readonly jkt: string | undefined } | undefined>
  /** Goes through the login page, where somebody is logged in at once: the path that the browser is sent back to. By default each time with another browser. */
  authorize (url: URL, browser?: Browser): Promise<string>
  /** Ends the session of a browser there. */
  logOut (browser: Browser): Promise<void>
}

export interface RealProviderOptions {
  readonly callbackUri: string
  /** How the client is registered, besides its id, secret and grants. */
  readonly registration: Partial<ClientMetadata>
  /** Listens with TLS, too, asks for certificates there, and lists it in `mtls_endpoint_aliases`. */
  readonly tls?: { readonly cert: string, readonly key: string, readonly ca: string }
  readonly features?: NonNullable<Configuration['features']>
  /** Whether the second login of one browser uses the grant of the first again, as providers do by themselves. */
  readonly reusesGrants?: boolean
}

/** A real OpenID provider, oidc-provider, that is strict: a refresh token is good once, and who sends it again loses the grant. */
export async function startRealProvider (t: Test, { callbackUri, registration, tls, features, reusesGrants = false }: RealProviderOptions): Promise<RealProvider> {
  const client = { id: 'web', secret: 'odd: %&+ secret, and long enough for HS256' }
  const seen: SeenRequest[] = []
  let handle: RequestListener = () => {}
  const listeners = [undefined, ...tls ? [tls] : []].map((each) => new Listener((request, response) => { handle(request, response) }, each))
  for (const listener of listeners) {
    await listener.start()
    t.teardown(() => listener.stop())
  }
  const [issuer = '', mtlsOrigin] = listeners.map(({ origin }) => origin)

  const provider: Provider = new Provider(issuer, {
    clients: [{
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: [callbackUri],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      response_types: ['code'],
      ...registration
    }],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'none'],
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, email: `${sub}@example.com` }) }),
    claims: { openid: ['sub'], email: ['email'] },
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    ttl: { AccessToken: 60, AuthorizationCode: 60, ClientCredentials: 60, IdToken: hour, RefreshToken: hour, Session: hour, Grant: hour, Interaction: hour },
    clockTolerance: 0,
    // Its own would refuse loopback.
    fetch: async (url, options) => await fetch(url, Object.assign({}, options, { dispatcher: undefined })),
    discovery: mtlsOrigin === undefined ? {} : { mtls_endpoint_aliases: aliases(mtlsOrigin) },
    async loadExistingGrant ({ oidc }) {
      const grantId = reusesGrants ? oidc.session?.grantIdFor(client.id) : undefined
      const existing = grantId === undefined ? undefined : await provider.Grant.find(grantId)
      if (existing !== undefined) return existing
      const grant = new provider.Grant({ clientId: client.id, accountId: oidc.session?.accountId })
      grant.addOIDCScope('openid offline_access email')
      await grant.save()
      return grant
    },
    interactions: { url: (_context, interaction) => interactionPath + interaction.uid },
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: true, allowedPolicy: (_context, caller, token) => token.clientId === caller.clientId },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: ({ req }) => certificateOf(req.socket)?.x509.toString(),
        certificateAuthorized: ({ req }) => certificateOf(req.socket)?.authorized ?? false,
        certificateSubjectMatches: ({ req }, _property, expected) => certificateOf(req.socket)?.x509.subject === expected
      },
      ...features
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
    if (Object.values(clientPaths).includes(context.path)) seen.push(seenIn(context))
  })
  handle = provider.callback()

  return {
    issuer,
    client,
    seen,
    tokenRequests: () => seen.filter(({ for: grant }) => !String(grant).startsWith('/')),
    accepts: async (accessToken) => (await fetch(`${issuer}/me`, { headers: { authorization: `Bearer ${accessToken}` } })).ok,
    find: async (accessToken) => {
      const token = await provider.AccessToken.find(accessToken) ?? await provider.ClientCredentials.find(accessToken)
      return token && { jkt: token.jkt }
    },
    authorize: async (url, browser = new Browser(issuer)) => {
      let location = url
      while (location.origin === issuer) {
        const answer = await browser.get(location.href)
        location = new URL(answer.headers.get('location') ?? '', issuer)
        if (answer.status !== 303) throw new Error(`The provider answered ${answer.status}: ${answer.text}`)
      }
      return location.pathname + location.search
    },
    logOut: async (browser) => {
      const [, xsrf = ''] = /name="xsrf" value="(\w+)"/.exec((await browser.get('/session/end')).text) ?? []
      const answer = await browser.send('POST', '/session/end/confirm', { 'content-type': 'application/x-www-form-urlencoded' }, new URLSearchParams({ xsrf, logout: 'yes' }).toString())
      if (answer.status !== 303) throw new Error(`The provider answered ${answer.status}: ${answer.text}`)
    }
  }
}

const clientPaths = { token_endpoint: '/token', revocation_endpoint: '/token/revocation', pushed_authorization_request_endpoint: '/request' }

function aliases (origin: string): Record<string, string> {
  return Object.fromEntries(Object.entries(clientPaths).map(([name, path]) => [name, origin + path]))
}

function seenIn ({ path, status, oidc, req, headers, body }: KoaContextWithOIDC): SeenRequest {
  const sent = oidc.body ?? {}
  const credentials = { header: headers.authorization, secret: sent.client_secret, assertion: sent.client_assertion, certificate: certificateOf(req.socket) }
  return {
    for: sent.grant_type ?? path,
    status,
    method: oidc.client?.clientAuthMethod,
    credentials: Object.entries(credentials).flatMap(([name, value]) => value === undefined ? [] : [name]),
    proof: headers.dpop !== undefined,
    error: typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
  }
}
