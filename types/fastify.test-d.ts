/*
 * What the types promise: `npm run types` compiles this, and nothing runs it. A line under @ts-expect-error must not compile.
 */
import { test } from 'node:test'
import { createPrivateKey, subtle } from 'node:crypto'
import Fastify, { type FastifyContextConfig, type FastifyInstance, type FastifyReply, type FastifyRequest, type TokenClaims } from 'fastify'
import tap from 'tap'
import { Agent, type Dispatcher } from 'undici'
import tokenManagement, {
  clientAssertion, clientSecretBasic, clientSecretJwt, clientSecretPost, isTokenError, none, privateKeyJwt, tlsClientAuth, tokenManagement as named,
  type AccessToken, type ApiClient, type ClientAuthentication, type IdTokenClaims, type JsonWebKey, type OutgoingRequest, type SessionDirectory, type StoreContext, type TokenErrorCode, type TokenManagementOptions, type TokenSession, type TokenSet, type TokenStore
} from '../lib/index.ts'
import type { NameIn } from '../lib/outbound/names.ts'
import { redisTokenStore, type RedisClient } from '../lib/redis.ts'
import { tokenStoreConformance } from '../lib/testing.ts'

type IsExactly<Actual, Expected> = (<T>() => T extends Actual ? 1 : 2) extends (<T>() => T extends Expected ? 1 : 2) ? true : false

/** `exactly<string>()(value, true)` compiles only where the value is a `string`, and neither less nor more nor `any`. */
function exactly<Expected> () {
  return <Actual>(_value: Actual, _same: IsExactly<Actual, Expected>): void => {}
}

const options: TokenManagementOptions = { issuer: 'https://idp.example.com', clientId: 'web', clientSecret: 'secret', session: { key: Buffer.alloc(32) } }

/** Registering. */
export async function registers (app: FastifyInstance): Promise<void> {
  await app.register(tokenManagement, options)
  await app.register(named, { ...options, name: 'github' })
  await app.register(tokenManagement, { ...options, session: { key: ['a', Buffer.alloc(32)], cookie: { sameSite: 'strict' } }, refresh: 'manual' })
  await app.register(tokenManagement, { ...options, backchannel: { connections: 5 } })
  // @ts-expect-error the options are required
  await app.register(tokenManagement)
  // @ts-expect-error clientId is required
  await app.register(tokenManagement, { issuer: 'https://idp.example.com', clientSecret: 'secret' })
  // @ts-expect-error no such option
  await app.register(tokenManagement, { ...options, client_id: 'web' })
  // @ts-expect-error no such option of the session
  await app.register(tokenManagement, { ...options, session: { secret: 'x' } })
  // @ts-expect-error no such moment
  await app.register(tokenManagement, { ...options, refresh: 'preParsing' })
  // @ts-expect-error times are numbers
  await app.register(tokenManagement, { ...options, requestTimeout: '10s' })
  await app.register(tokenManagement, { ...options, dpop: true })
  await app.register(tokenManagement, { ...options, dpop: { alg: 'EdDSA' }, login: { callbackUri: 'https://app.example.com/cb', scope: ['openid'], pushedAuthorizationRequests: true } })
  // @ts-expect-error keys are on elliptic curves
  await app.register(tokenManagement, { ...options, dpop: { alg: 'RS256' } })
  // @ts-expect-error the callbackUri is required
  await app.register(tokenManagement, { ...options, login: { scope: ['openid'] } })
  // @ts-expect-error the scope is a list
  await app.register(tokenManagement, { ...options, login: { callbackUri: 'https://app.example.com/cb', scope: 'openid' } })
  await app.register(tokenManagement, { ...options, bff: { session: true, csrfHeader: 'X-Requested-With: XMLHttpRequest' } })
  await app.register(tokenManagement, { ...options, bff: { session: { anonymous: 'null' } }, login: { callbackUri: 'https://app.example.com/cb', scope: ['openid'], userInfo: true } })
  // @ts-expect-error no such answer
  await app.register(tokenManagement, { ...options, bff: { session: { anonymous: 403 } } })
  // @ts-expect-error metadata needs a token_endpoint
  await app.register(tokenManagement, { ...options, metadata: { issuer: 'https://idp.example.com' } })
}

/** Clients are declared by any name. */
export const clients: TokenManagementOptions['clients'] = {
  orders: {},
  'stock levels': { scope: ['read'], resource: 'https://api.example.com', parameters: { audience: 'stock' }, clientId: 'machine', clientAuthentication: clientSecretPost('secret') },
  // @ts-expect-error no such option of a client
  prices: { audience: 'x' }
}

/** APIs are declared by any name; whose token they get must be said. */
export const apis: TokenManagementOptions['apis'] = {
  orders: { origin: 'https://orders.internal', token: 'user', resource: 'https://orders.example.com', scope: ['read'], exchange: { audience: 'orders' } },
  'stock levels': { origin: 'https://stock.internal', token: 'user-or-client', client: 'stock levels', dispatcher: new Agent() },
  // @ts-expect-error the token is required
  prices: { origin: 'https://prices.internal' },
  // @ts-expect-error nobody's of that kind
  offers: { origin: 'https://offers.internal', token: 'machine' }
}

/** Names that the app has declared are the only ones; where it has declared none, any. */
export function knowsNames (given: string): void {
  interface Declared { orders: unknown, 'stock levels': unknown }
  const names: Array<NameIn<Declared>> = ['orders', 'stock levels']
  exactly<Array<'orders' | 'stock levels'>>()(names, true)
  // @ts-expect-error no such name
  names.push('order')
  interface Nothing {}
  const any: NameIn<Nothing> = given
  exactly<string>()(any, true)
}

/** The callbacks know what they get. */
export const callbacks: TokenManagementOptions = {
  ...options,
  clientAuthentication: clientSecretPost('secret'),
  login: {
    callbackUri: 'https://app.example.com/auth/callback',
    scope: ['openid'],
    resource: ['https://api.example.com'],
    parameters (request) {
      exactly<FastifyRequest>()(request, true)
      return { login_hint: request.headers['x-user']?.toString() }
    },
    onLogin (request, reply, tokens, claims) {
      exactly<FastifyRequest>()(request, true)
      exactly<FastifyReply>()(reply, true)
      exactly<TokenSet>()(tokens, true)
      exactly<IdTokenClaims | undefined>()(claims, true)
      exactly<string | undefined>()(claims?.sub, true)
      return reply.redirect('/')
    }
  },
  parameters: {
    code: { audience: 'orders' },
    refresh (request) {
      exactly<OutgoingRequest>()(request, true)
      return { nonce_hint: request.grant }
    },
    exchange: async ({ endpoint }) => ({ endpoint })
  },
  tokenRequest ({ parameters, headers, grant }) {
    exactly<URLSearchParams>()(parameters, true)
    exactly<Headers>()(headers, true)
    exactly<string | undefined>()(grant, true)
  },
  onRefreshed ({ provider, tokens, requests, durationSeconds, claims }) {
    exactly<IdTokenClaims | undefined>()(claims, true)
    exactly<string>()(provider, true)
    exactly<TokenSet>()(tokens, true)
    exactly<number>()(requests, true)
    exactly<number>()(durationSeconds, true)
  },
  onRefreshFailed ({ failure, error, sessionEnded }) {
    exactly<Error>()(error, true)
    exactly<boolean>()(sessionEnded, true)
    // @ts-expect-error no such class of failures
    return failure === 'nothing'
  },
  onSessionEnded ({ sessionId, reason }) {
    exactly<string>()(sessionId, true)
    exactly<'logout' | 'refreshTokenDead' | 'replaced' | 'ended' | 'backchannelLogout' | 'expired'>()(reason, true)
  }
}

/** What there is without a request. */
export async function isAskedFor (app: FastifyInstance): Promise<void> {
  const session = await app.tokenSessions.get('session', { provider: 'github' })
  exactly<TokenSession | null>()(session, true)
  exactly<string | undefined>()(await session?.accessToken({ resource: 'https://api.example.com', forceRenewal: true }), true)
  exactly<string | undefined>()(await session?.dpopProof({ htm: 'GET', htu: 'https://api.example.com', resource: 'https://api.example.com' }), true)
  exactly<TokenClaims | null | undefined>()(await session?.claims(), true)
  exactly<TokenSession[]>()(await app.tokenSessions.list({ sub: 'alice' }), true)
  for (const query of [{ sub: 'alice' }, { sid: 'x' }, { sessionId: 'x' }]) exactly<number>()(await app.tokenSessions.end(query), true)
  // @ts-expect-error a list is of a user
  await app.tokenSessions.list({ sid: 'x' })
  // @ts-expect-error everybody is not meant
  await app.tokenSessions.end({})
  // @ts-expect-error a session has its provider
  await session?.accessToken({ provider: 'github' })
}

/** Where sessions are, besides. */
export async function keepsElsewhere (app: FastifyInstance, redis: RedisClient): Promise<void> {
  const tokenStore = redisTokenStore({ redis, timeout: 2 })
  app.decorate('tokenStore', tokenStore)
  await app.register(tokenManagement, { ...options, tokenStore })
  const directory: SessionDirectory = { find: async () => [], set: async () => {}, clear: async () => {} }
  app.decorate('tokenStore', { get: () => null, set () {}, clear () {}, directory })
  // @ts-expect-error a factory gives a store
  await app.register(tokenManagement, { ...options, tokenStore: () => ({}) })
}

/** What a request has. */
export async function asks (request: FastifyRequest): Promise<void> {
  const token = await request.accessToken()
  exactly<string>()(token, true)
  const renewed = await request.accessToken({ forceRenewal: token, resource: 'https://api.example.com', scope: 'orders', provider: 'github', context: 7 })
  exactly<string>()(renewed, true)
  const required = await request.accessToken({ optional: false })
  exactly<string>()(required, true)
  const optional = await request.accessToken({ optional: true })
  exactly<string | null>()(optional, true)
  const either = await request.accessToken({ optional: request.method === 'GET' })
  exactly<string | null>()(either, true)
  // @ts-expect-error no such parameter
  await request.accessToken({ audience: 'https://api.example.com' })
  // @ts-expect-error forceRenewal is true or the token
  await request.accessToken({ forceRenewal: 1 })

  const exchanged = await request.accessToken({ exchange: { audience: 'orders', actor: { token, tokenType: 'urn:ietf:params:oauth:token-type:access_token' } }, resource: 'https://api.example.com' })
  exactly<string>()(exchanged, true)
  const perhaps = await request.accessToken({ exchange: { resource: 'https://api.example.com', scope: 'read' }, optional: true })
  exactly<string | null>()(perhaps, true)
  // @ts-expect-error an actor's token comes with its type
  await request.accessToken({ exchange: { actor: { token } } })
  // @ts-expect-error a token set holds no exchanged tokens
  await request.tokens.get({ exchange: { audience: 'orders' } })

  const orders = request.apiClient('orders')
  exactly<ApiClient>()(orders, true)
  exactly<Response>()(await orders.fetch('/orders', { method: 'POST', body: new FormData(), redirect: 'follow' }), true)
  await orders.fetch(new Request(new URL('/orders', orders.origin)))
  exactly<Dispatcher>()(orders.dispatcher, true)
  // @ts-expect-error the name is required
  request.apiClient()

  const tokens = await request.tokens.get()
  exactly<TokenSet | null>()(tokens, true)
  const saved = await request.tokens.save({ access_token: 'x', token_type: 'Bearer', expires_in: '300', refresh_token: 'y' })
  exactly<TokenSet>()(saved, true)
  exactly<readonly AccessToken[]>()(saved.accessTokens, true)
  await request.tokens.save({ token: { access_token: 'x', token_type: 'Bearer' } })
  const dpopKey: JsonWebKey | undefined = saved.dpopKey
  await request.tokens.save({ access_token: 'x', token_type: 'DPoP' }, { dpopKey: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' }, provider: 'github' })
  exactly<JsonWebKey | undefined>()(dpopKey, true)
  const proof = await request.tokens.dpopProof({ htm: 'GET', htu: 'https://api.example.com/orders' })
  exactly<string>()(proof, true)
  await request.tokens.dpopProof({ htm: 'GET', htu: new URL('https://api.example.com'), accessToken: token, nonce: new Headers().get('dpop-nonce'), resource: 'https://api.example.com' })
  // @ts-expect-error htu is required
  await request.tokens.dpopProof({ htm: 'GET' })
  // @ts-expect-error a proof renews nothing
  await request.tokens.dpopProof({ htm: 'GET', htu: 'https://api.example.com', forceRenewal: true })
  await request.tokens.clear({ provider: 'github' })
  await request.tokens.revoke({ context: {} })
  // @ts-expect-error an access_token is required
  await request.tokens.save({ token_type: 'Bearer' })
  // @ts-expect-error a token set is never changed in place
  saved.generation = 1
}

/** What an app has. */
export async function decorated (app: FastifyInstance): Promise<void> {
  exactly<TokenStore>()(app.tokenStore, true)
  exactly<Dispatcher>()(app.backchannel, true)
  const token = await app.clientAccessToken('orders')
  exactly<string>()(token, true)
  exactly<string>()(await app.clientDpopProof('orders', { htm: 'GET', htu: 'https://api.example.com', scope: 'read' }), true)
  await app.clientAccessToken('orders', { forceRenewal: token, resource: 'https://api.example.com', scope: 'read' })
  exactly<ApiClient>()(app.apiClient('stock'), true)
  // @ts-expect-error a client has no user and no session
  await app.clientAccessToken('orders', { provider: 'github' })
  // @ts-expect-error the name is required
  await app.clientAccessToken()
  app.get('/a', { onRequest: app.requireAccessToken }, () => ({}))
  app.get('/b', { preHandler: [app.refreshTokens], config: { tokens: { provider: 'github', resource: 'https://api.example.com', scope: 'orders' } } }, () => ({}))
  app.get('/c', { config: { tokens: false } }, () => ({}))
  app.post('/d', { onRequest: app.requireCsrfHeader }, () => ({}))
  app.addHook('preHandler', app.requireCsrfHeader)
}

/** What a route may say. */
export const configs: FastifyContextConfig[] = [
  { tokens: { provider: 'github' } },
  { tokens: { required: true, scope: 'orders' } },
  { tokens: { required: 'login' } },
  // @ts-expect-error there is no such guard
  { tokens: { required: 'logout' } },
  // @ts-expect-error there is nothing else to say
  { tokens: true },
  // @ts-expect-error no such parameter of a route
  { tokens: { audience: 'x' } }
]

/** What a handler of errors knows of them. */
export function tellsErrorsApart (error: unknown): void {
  if (isTokenError(error, 'FST_TOKEN_LOGIN_REQUIRED')) {
    exactly<'FST_TOKEN_LOGIN_REQUIRED'>()(error.code, true)
    exactly<string | undefined>()(error.loginPath, true)
  }
  // @ts-expect-error no such code
  isTokenError(error, 'FST_TOKEN_EXPIRED')
  if (!isTokenError(error)) return
  exactly<TokenErrorCode>()(error.code, true)
  exactly<number | undefined>()(error.statusCode, true)
  // @ts-expect-error only a 401 says of which provider it is
  String(error.provider)
  switch (error.code) {
    case 'FST_TOKEN_UNAUTHENTICATED':
    case 'FST_TOKEN_LOGIN_REQUIRED':
      exactly<string>()(error.provider, true)
      break
    // @ts-expect-error no such code
    case 'FST_TOKEN_EXPIRED':
  }
}

/** Servers of HTTP/2 and of TLS have all of it, too. */
export async function servesHttp2 (): Promise<void> {
  const http2 = Fastify({ http2: true })
  const https = Fastify({ http2: true, https: { allowHTTP1: true } })
  await http2.register(tokenManagement, options)
  await https.register(tokenManagement, options)
  http2.addHook('onRequest', http2.refreshTokens)
  http2.addHook('preHandler', http2.requireAccessToken)
  https.post('/orders', { onRequest: [https.requireAccessToken, https.requireCsrfHeader], config: { tokens: { required: true } } }, async (request, reply) => {
    exactly<string>()(await request.accessToken(), true)
    exactly<TokenClaims | null>()(await request.tokens.claims(), true)
    return await reply.startLogin()
  })
}

/** A store of the app's own. */
export class DatabaseStore implements TokenStore {
  readonly #sessions = new Map<unknown, TokenSet>()

  async get ({ request, provider, context }: StoreContext): Promise<TokenSet | null> {
    return this.#sessions.get(`${request.ip} ${provider} ${String(context)}`) ?? null
  }

  set ({ request, reply }: StoreContext, tokens: TokenSet): void {
    exactly<FastifyReply>()(reply, true)
    this.#sessions.set(request.ip, tokens)
  }

  async clear ({ request }: StoreContext): Promise<void> {
    this.#sessions.delete(request.ip)
  }
}

/** Whoever runs tests can run those of the kit. */
export function conforms (): void {
  test('node:test', async (t) => { await tokenStoreConformance(t, () => new DatabaseStore()) })
  tap.test('tap', async (t) => { await tokenStoreConformance(t, async (app: FastifyInstance) => { await app.ready(); return new DatabaseStore() }, { breakDown: () => {} }) })
  // @ts-expect-error a store is required
  test('no store', async (t) => { await tokenStoreConformance(t, () => null) })
}

export const app = Fastify()
app.decorate('tokenStore', new DatabaseStore())
// @ts-expect-error a store without clear
app.decorate('tokenStore', { get: () => null, set: () => {} })

const pem = Buffer.from('PEM')

export const authentications: ClientAuthentication[] = [
  clientSecretBasic('secret'),
  clientSecretPost(async () => 'secret'),
  clientSecretJwt(() => 'secret', { audience: 'token_endpoint', header: { typ: 'client-authentication+jwt' } }),
  privateKeyJwt({ key: 'PEM' }),
  privateKeyJwt({ key: pem, kid: 'web-1', alg: 'PS256', audience: 'issuer' }),
  privateKeyJwt({ key: { kty: 'EC', crv: 'P-256', d: 'd' } }),
  privateKeyJwt(() => ({ key: createPrivateKey(pem) })),
  privateKeyJwt(async () => ({ key: await subtle.importKey('pkcs8', pem, { name: 'Ed25519' }, false, ['sign']) })),
  tlsClientAuth({ cert: 'PEM', key: pem, ca: ['PEM', pem] }),
  tlsClientAuth(async () => ({ cert: pem, key: pem })),
  tlsClientAuth(),
  none(),
  clientAssertion(() => 'jwt'),
  clientAssertion(async (request) => {
    exactly<OutgoingRequest>()(request, true)
    exactly<string | undefined>()(request.grant, true)
    return 'jwt'
  }),
  // @ts-expect-error a secret is needed
  clientSecretPost(),
  // @ts-expect-error it may be missing
  clientSecretPost(process.env.CLIENT_SECRET),
  // @ts-expect-error a text, sooner or later
  clientSecretBasic(() => 5),
  // @ts-expect-error the key is needed
  privateKeyJwt({ kid: 'web-1' }),
  // @ts-expect-error for whom else: clientAssertion
  privateKeyJwt({ key: 'PEM', audience: 'https://idp.example.com' }),
  // @ts-expect-error the key is needed
  tlsClientAuth({ cert: 'PEM' }),
  // @ts-expect-error it gives the assertion
  clientAssertion(() => undefined),
  (_server, client, body, headers) => {
    body.set('client_id', client.client_id)
    headers.set('x-client', 'web')
  }
]
