import Fastify from 'fastify'
import { inspect } from 'node:util'
import { test } from 'tap'
import { Agent, MockAgent } from 'undici'
import { checkOptions } from '../../lib/options/check.ts'
import { OptionsSchema } from '../../lib/options/schema.ts'
import { clientSecretPost, tokenManagement } from '../../lib/index.ts'

const issuer = 'https://idp.example.com'
const secret = 'a-client-secret'
const key = Buffer.alloc(32, 'k')
const base = { issuer, clientId: 'web', clientSecret: secret, session: { key } }
const login = { callbackUri: 'https://app.example.com/auth/callback', scope: ['openid'] }
const metadata = { issuer, token_endpoint: `${issuer}/token`, authorization_endpoint: `${issuer}/authorize` }
const alone = { session: false, secureSession: false, tokenStore: 'nobody' as const, onRequest: () => false, names: [], clients: [] }

/** Registers as an app written in JavaScript may: with anything as options. */
async function bootProblem (options: unknown): Promise<Error> {
  const app = Fastify()
  try {
    await app.register(async (context) => { await Reflect.apply(tokenManagement, undefined, [context, options]) })
  } catch (error) {
    if (error instanceof Error) return error
  } finally {
    await app.close()
  }
  throw new Error('The app has booted')
}

interface Wrong { title: string, options: unknown, says: string | RegExp }

function without<Key extends keyof typeof base> (name: Key): Omit<typeof base, Key> {
  const { [name]: _, ...rest } = base
  return rest
}

function withSession (session: object): unknown {
  return { ...base, session: { key, ...session } }
}

const shapes: Wrong[] = [
  { title: 'no options at all', options: undefined, says: 'the options must be object' },
  { title: 'options that are no object', options: [], says: 'the options must be object' },
  { title: 'an unknown option', options: { ...base, clientID: 'web' }, says: 'clientID: no such option. Did you mean clientId?' },
  { title: 'an unknown option further down', options: withSession({ ttl: 5 }), says: 'session.ttl: no such option' },
  { title: 'an unknown attribute of the cookie', options: withSession({ cookie: { httpOnly: false } }), says: 'session.cookie.httpOnly: no such option' },
  { title: 'an unknown option of the login', options: { ...base, login: { ...login, callbackURI: 'x' } }, says: 'login.callbackURI: no such option' },
  ...Object.entries({
    client_id: 'clientId',
    redirectUri: 'login.callbackUri',
    redirect_uri: 'login.callbackUri',
    scope: 'login.scope',
    callbackUri: 'login.callbackUri',
    cookieName: 'session.cookieName',
    secret: 'session.key, or clientSecret',
    issuerBaseURL: 'issuer',
    clientSecert: 'clientSecret',
    token_store: 'tokenStore'
  }).map(([name, meant]) => ({ title: `the option ${name}`, options: { ...base, [name]: 'x' }, says: `${name}: no such option. Did you mean ${meant}?` })),
  { title: 'an option of the session under the name it has elsewhere', options: withSession({ secret: 'x' }), says: 'session.secret: no such option. Did you mean session.key' },
  { title: 'an option of a client that is spelled otherwise', options: { ...base, clients: { orders: { client_id: 'x' } } }, says: 'clients.orders.client_id: no such option. Did you mean clients.orders.clientId?' },
  { title: 'several unknown options', options: { ...base, client_id: 'x', nonsense: 1 }, says: 'client_id, nonsense: no such option. Did you mean clientId?' },
  ...['nonsense', 'clip', 'x'].map((name) => ({ title: `the option ${name}, which is like none`, options: { ...base, [name]: 'x' }, says: `${name}: no such option. Remove it, or see docs/options.md` })),
  { title: 'an unknown option of the logout', options: { ...base, logout: { url: '/' } }, says: 'logout.url: no such option' },
  ...['//login', '/\\login', '/login?x=1', '/login#x', 'login'].map((path) => ({ title: `a route at ${path}`, options: { ...base, login: { ...login, startRedirectPath: path } }, says: 'login.startRedirectPath must be a path: one slash first, no query and no fragment' })),
  { title: 'a callbackPath with a query', options: { ...base, login: { ...login, callbackPath: '/x?y' } }, says: 'login.callbackPath must be a path' },
  { title: 'a logout at /', options: { ...base, login, logout: { path: '/' } }, says: 'logout.path must be longer than /' },
  { title: 'a logout at / without a login', options: { ...base, logout: { path: '/' } }, says: 'logout.path must be longer than /' },
  ...['/a%2fb', '/a%3Fb', '/100%25', '/%ff'].map((path) => ({ title: `F23 a callback at ${path}`, options: { ...base, login: { ...login, callbackUri: `https://app.example.com${path}` } }, says: 'the path is a route, so it holds no escaped' })),
  { title: 'a callbackUri with a fragment', options: { ...base, login: { ...login, callbackUri: 'https://app.example.com/auth/callback#x' } }, says: 'login.callbackUri must have no fragment' },
  ...['openid profile', 'a"b', 'ключ'].map((scope) => ({ title: `a login for the scope ${scope}`, options: { ...base, login: { ...login, scope: [scope] } }, says: 'login.scope must be scope tokens, each by itself' })),
  { title: 'a client for a scope that is none', options: { ...base, clients: { orders: { scope: ['"'] } } }, says: 'clients.orders.scope must be scope tokens' },
  ...['https://app.example.com', 'app.example.com:443', 'a b;c'].map((domain) => ({ title: `a cookie for the domain ${domain}`, options: withSession({ cookieName: 'sid', cookie: { domain } }), says: 'session.cookie: domain is a host name' })),
  ...['x', '/a;b'].map((path) => ({ title: `a cookie for the path ${path}`, options: withSession({ cookieName: 'sid', cookie: { path } }), says: 'path begins with / and holds no semicolon' })),
  ...['Expect', 'upgrade', 'keep-alive'].map((header) => ({ title: `the header ${header}`, options: { ...base, headers: { [header]: 'x' } }, says: `headers.${header.toLowerCase()} is set by this plugin itself` })),
  ...[{ connections: '5' }, { connections: -1 }, { keepAliveTimeout: 'x' }, { pipelining: -1 }].map((backchannel) => ({ title: `F28 a backchannel of ${JSON.stringify(backchannel)}`, options: { ...without('issuer'), metadata, backchannel }, says: 'backchannel is not what an undici Agent takes' })),
  ...[() => undefined, () => ({}), async () => ({})].map((coordinator) => ({ title: `the coordinator ${coordinator}`, options: { ...without('issuer'), metadata, coordinator }, says: 'coordinator must be a function that gives a coordinator at once' })),
  { title: 'no clientId', options: without('clientId'), says: 'clientId is required' },
  { title: 'an empty clientId', options: { ...base, clientId: '' }, says: 'clientId must not have fewer than 1 characters' },
  { title: 'an empty clientSecret', options: { ...base, clientSecret: '' }, says: 'clientSecret must not have fewer than 1 characters' },
  { title: 'a clientAuthentication that is no function', options: { ...without('clientSecret'), clientAuthentication: 'client_secret_post' }, says: 'clientAuthentication must be a function: what clientSecretBasic(secret), clientSecretPost(secret)' },
  { title: 'a clientAuthentication of a client that is no function', options: { ...base, clients: { orders: { clientId: 'machine', clientAuthentication: 'none' } } }, says: /clients\.orders\.clientAuthentication must be a function: .* or none\(\) of this package gives\. See docs\/client-authentication\.md/ },
  { title: 'a name that fits no cookie', options: { ...base, name: 'a b' }, says: /: name must match pattern/ },
  { title: 'a number as text', options: { ...base, refreshBeforeExpiration: '60' }, says: 'refreshBeforeExpiration must be number' },
  { title: 'a negative refreshBeforeExpiration', options: { ...base, refreshBeforeExpiration: -1 }, says: 'refreshBeforeExpiration must be >= 0' },
  { title: 'a requestTimeout of 0', options: { ...base, requestTimeout: 0 }, says: 'requestTimeout must be > 0' },
  { title: 'an endless requestTimeout', options: { ...base, requestTimeout: Infinity }, says: 'requestTimeout must be number' },
  ...[120.5, 5000, 10_000].map((requestTimeout) => ({ title: `a requestTimeout of ${requestTimeout} milliseconds`, options: { ...base, requestTimeout }, says: 'requestTimeout must be at most 120: it is in seconds, not in milliseconds' })),
  { title: 'a clockTolerance in milliseconds', options: { ...base, clockTolerance: 30_000 }, says: 'clockTolerance must be at most 300: it is in seconds, not in milliseconds' },
  { title: 'a negative clockTolerance', options: { ...base, clockTolerance: -1 }, says: 'clockTolerance must be >= 0' },
  { title: 'an empty list of tenants', options: { ...base, tenants: [] }, says: 'tenants must not have fewer than 1 items' },
  { title: 'a gracePeriod of 0', options: { ...base, gracePeriod: 0 }, says: 'gracePeriod must be > 0' },
  { title: 'a retryAmbiguous that is no boolean', options: { ...base, retryAmbiguous: 'yes' }, says: 'retryAmbiguous must be boolean' },
  { title: 'a negative defaultExpiresIn', options: { ...base, defaultExpiresIn: -1 }, says: 'defaultExpiresIn must be > 0' },
  { title: 'a refresh that is no hook', options: { ...base, refresh: 'onSend' }, says: "refresh must be one of 'onRequest', 'preHandler', 'manual'" },
  { title: 'a backchannel that is no dispatcher and no options', options: { ...base, backchannel: 5 }, says: 'backchannel must be an undici Dispatcher' },
  { title: 'callbacks that are no functions', options: { ...base, onRefreshed: true }, says: 'onRefreshed must be a function' },
  { title: 'a clock that is no function', options: { ...base, clock: 0 }, says: 'clock must be a function' },
  { title: 'a dpop with RSA', options: { ...base, dpop: { alg: 'RS256' } }, says: "dpop.alg must be one of 'ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA'" },
  { title: 'a dpop that is only a name', options: { ...base, dpop: 'ES256' }, says: 'dpop must be object' },
  { title: 'a session that is no object', options: { ...base, session: null }, says: 'session must be object' },
  { title: 'a cookieName that is none', options: withSession({ cookieName: 'a;b' }), says: /session\.cookieName must match pattern/ },
  { title: 'an unknown sameSite', options: withSession({ cookie: { sameSite: 'Lax' } }), says: "session.cookie.sameSite must be one of 'lax', 'strict', 'none'" },
  { title: 'a session that is over at once', options: withSession({ inactivityDuration: 0 }), says: 'session.inactivityDuration must be > 0' },
  { title: 'login without callbackUri', options: { ...base, login: { scope: ['openid'] } }, says: 'login.callbackUri is required' },
  { title: 'an empty login', options: { ...base, login: {} }, says: 'login.callbackUri, login.scope are required' },
  { title: 'a scope as text', options: { ...base, login: { ...login, scope: 'openid' } }, says: "login.scope must be a list, such as ['openid', 'offline_access']" },
  { title: 'a scope of a client as text', options: { ...base, clients: { orders: { scope: 'read' } } }, says: "clients.orders.scope must be a list, such as ['openid', 'offline_access']" },
  { title: 'tenants as text', options: { ...base, tenants: 'a' }, says: /: tenants must be a list$/ },
  { title: 'an empty scope', options: { ...base, login: { ...login, scope: ['openid', ''] } }, says: 'login.scope.1 must not have fewer than 1 characters' },
  { title: 'a startRedirectPath that is no path', options: { ...base, login: { ...login, startRedirectPath: 'login' } }, says: 'login.startRedirectPath must be a path: one slash first, no query and no fragment' },
  { title: 'metadata without a token endpoint', options: { ...without('issuer'), metadata: { issuer } }, says: 'metadata.token_endpoint is required' }
]

const rules: Wrong[] = [
  { title: 'neither issuer nor metadata', options: without('issuer'), says: 'issuer or metadata is required: one of the two' },
  { title: 'issuer and metadata together', options: { ...base, metadata }, says: 'issuer and metadata are one too many: leave metadata out, and it is discovered, or leave issuer out, and metadata.issuer counts' },
  { title: 'neither clientSecret nor clientAuthentication', options: without('clientSecret'), says: 'clientSecret or clientAuthentication is required: one of the two' },
  { title: 'R3 clientSecret and clientAuthentication together', options: { ...base, clientAuthentication: clientSecretPost(secret) }, says: 'so that the client authenticates in one way only' },
  { title: 'an issuer that is no URL', options: { ...base, issuer: 'idp.example.com' }, says: 'issuer must be an absolute https URL' },
  { title: 'R1 a plain http issuer', options: { ...base, issuer: 'http://idp.example.com' }, says: 'issuer must be an absolute https URL (plain http only on loopback)' },
  { title: 'R1 an issuer whose host only begins like loopback', options: { ...base, issuer: 'http://127.0.0.1.example.com' }, says: 'issuer must be an absolute https URL' },
  ...['http://0x7f.1', 'http://127.1', 'http://2130706433', 'http://0177.0.0.1', 'http://127.000.0.1', 'http://[0:0:0:0:0:0:0:1]', 'http://%6cocalhost', 'http:\\\\localhost', 'http:localhost', ' http://localhost', 'http://localhost.evil.example', 'http://evillocalhost', 'http://localhost@evil.example', 'http://keycloak:8080'].map((issuer) => (
    { title: `F21 the issuer ${issuer}, which is no name of loopback`, options: { ...base, issuer }, says: 'issuer must be an absolute https URL (plain http only on loopback)' })),
  { title: 'F21 a plain http origin beside the one that is listed', options: { ...base, issuer: 'http://keycloak:8081', allowInsecureRequests: ['http://keycloak:8080'] }, says: 'list its origin in allowInsecureRequests' },
  ...['https://keycloak', 'http://keycloak:8080/', 'http://keycloak/realms', 'keycloak:8080', 'HTTP://keycloak', '*'].map((origin) => (
    { title: `F21 ${origin} in allowInsecureRequests`, options: { ...base, allowInsecureRequests: ['http://a', origin] }, says: 'allowInsecureRequests.1 must be an origin of plain http, such as http://keycloak:8080' })),
  ...['jwks_uri', 'token_endpoint', 'pushed_authorization_request_endpoint'].map((name) => (
    { title: `F21 a plain http ${name} whose origin is not listed`, options: { ...without('issuer'), metadata: { ...metadata, [name]: 'http://idp.example.com/x' }, allowInsecureRequests: ['http://keycloak:8080'] }, says: `metadata.${name} must be an absolute https URL` })),
  ...Object.entries({
    'https://idp.example.com/.well-known/openid-configuration': issuer,
    'https://idp.example.com/realms/a/.well-known/openid-configuration': `${issuer}/realms/a`,
    'https://idp.example.com/.well-known/oauth-authorization-server/tenant': `${issuer}/tenant`
  }).map(([address, remedy]) => ({ title: `F22 the address of a document as issuer: ${address}`, options: { ...base, issuer: address }, says: `issuer is the address of its metadata, and not its name: give ${remedy}` })),
  { title: 'F20 tenants of a login without an id_token', options: { ...base, tenants: ['a'], login: { ...login, scope: ['orders'] } }, says: 'tenants needs openid in login.scope' },
  { title: 'F20 tenants of an issuer that is one', options: { ...without('issuer'), metadata, tenants: ['a'] }, says: 'tenants is for issuers with {tenantid} in them' },
  { title: 'a plain http callbackUri', options: { ...base, login: { ...login, callbackUri: 'http://app.example.com/cb' } }, says: 'login.callbackUri must be an absolute https URL' },
  { title: 'a callbackUri that is a path', options: { ...base, login: { ...login, callbackUri: '/cb' } }, says: 'login.callbackUri must be an absolute https URL' },
  { title: 'a plain http postLogoutRedirectUri', options: { ...base, logout: { postLogoutRedirectUri: 'http://app.example.com/' } }, says: 'logout.postLogoutRedirectUri must be an absolute https URL' },
  ...['issuer', 'token_endpoint', 'authorization_endpoint', 'revocation_endpoint', 'end_session_endpoint'].map((name) => ({
    title: `R1 a plain http ${name} in the metadata`,
    options: { ...without('issuer'), metadata: { ...metadata, [name]: 'http://idp.example.com/x' } },
    says: `metadata.${name} must be an absolute https URL`
  })),
  ...['token_endpoint', 'revocation_endpoint', 'pushed_authorization_request_endpoint'].map((name) => ({
    title: `R1 a plain http ${name} among the aliases for mutual TLS in the metadata`,
    options: { ...without('issuer'), metadata: { ...metadata, mtls_endpoint_aliases: { [name]: 'http://idp.example.com/x' } } },
    says: `metadata.mtls_endpoint_aliases.${name} must be an absolute https URL`
  })),
  { title: 'routes of login and logout that are one', options: { ...base, login: { ...login, startRedirectPath: '/auth/logout' } }, says: 'login.startRedirectPath, logout.path, logout.backchannelLogoutPath, bff.session.path and the path of login.callbackUri must differ' },
  { title: 'two logouts at one route, without a login', options: { ...base, logout: { path: '/logout', backchannelLogoutPath: '/logout' } }, says: 'must differ: each is a route' },
  { title: 'a login and a back-channel logout at one route', options: { ...base, login, logout: { backchannelLogoutPath: '/auth/login' } }, says: 'must differ: each is a route' },
  { title: 'a back-channel logout that is no path', options: { ...base, logout: { backchannelLogoutPath: 'https://app.example.com/logout' } }, says: 'logout.backchannelLogoutPath must be a path' },
  { title: 'a login that starts where it comes back', options: { ...base, login: { ...login, startRedirectPath: '/auth/callback' } }, says: 'must differ: each is a route' },
  { title: 'login without an authorization_endpoint in the metadata', options: { ...without('issuer'), login, metadata: { issuer, token_endpoint: `${issuer}/token` } }, says: 'metadata.authorization_endpoint is required with login' },
  ...[{ login: { ...login, pushedAuthorizationRequests: true } }, { login, metadata: { ...metadata, require_pushed_authorization_requests: true } }].map((more) => ({
    title: 'pushed authorization requests without an endpoint in the metadata',
    options: { ...without('issuer'), metadata, ...more },
    says: 'metadata.pushed_authorization_request_endpoint is required where authorization requests are pushed'
  })),
  { title: 'tokens of a login that nobody takes', options: { ...base, login: { ...login, saveTokens: false } }, says: 'login.onTokens is required where login.saveTokens is false' },
  { title: 'onTokens that is never called', options: { ...base, login: { ...login, onTokens () {} } }, says: 'use login.onLogin' },
  { title: 'a client with an unknown option', options: { ...base, clients: { orders: { audience: 'x' } } }, says: 'clients.orders.audience: no such option. Remove it' },
  { title: 'R29 a client whose resource has a fragment', options: { ...base, clients: { orders: { resource: 'https://api.example.com/#a' } } }, says: 'clients.orders.resource must be an absolute URI without a fragment' },
  { title: 'a client of its own without a secret', options: { ...base, clients: { orders: { clientId: 'machine' } } }, says: 'clients.orders: clientId comes with one of clientSecret and clientAuthentication' },
  { title: 'a client with two secrets', options: { ...base, clients: { orders: { clientId: 'machine', clientSecret: secret, clientAuthentication: clientSecretPost(secret) } } }, says: 'clients.orders: clientId comes with one of' },
  { title: 'a client whose secret is nobody\'s', options: { ...base, clients: { orders: { clientSecret: secret } } }, says: 'clients.orders: clientId comes with one of' },
  { title: 'a client with a reserved parameter', options: { ...base, clients: { orders: { parameters: { grant_type: 'password' } } } }, says: 'clients.orders.parameters.grant_type is set by this plugin itself' },
  ...[['no URI', 'orders'], ['a fragment', `${issuer}/#a`]].map(([what, resource]) => ({ title: `R29 a login for a resource with ${what}`, options: { ...base, login: { ...login, resource: [issuer, resource] } }, says: 'login.resource must be an absolute URI without a fragment' })),
  { title: 'an empty list of resources', options: { ...base, login: { ...login, resource: [] } }, says: 'login.resource' },
  { title: 'a reserved parameter of the login', options: { ...base, login: { ...login, parameters: { redirect_uri: issuer } } }, says: 'login.parameters.redirect_uri is set by this plugin itself' },
  { title: 'a parameter of the login that has an option', options: { ...base, login: { ...login, parameters: { scope: 'openid' } } }, says: 'login.parameters.scope is set by this plugin itself' },
  { title: 'a reserved parameter of the refresh', options: { ...base, parameters: { code: { audience: 'x' }, refresh: { client_secret: 'x' } } }, says: 'parameters.refresh.client_secret is set by this plugin itself' },
  { title: 'parameters of nothing', options: { ...base, parameters: { login: {} } }, says: 'parameters.login: no such option' },
  { title: 'a parameter that is no text', options: { ...base, parameters: { code: { max_age: 5 } } }, says: 'parameters.code.max_age must be text' },
  { title: 'F26 a parameter of the login that is no text', options: { ...base, login: { ...login, parameters: { max_age: 5 } } }, says: 'login.parameters.max_age must be text' },
  { title: 'F26 a parameter of a client that is no text', options: { ...base, clients: { orders: { parameters: { audience: ['a'] } } } }, says: 'clients.orders.parameters.audience must be text' },
  { title: 'parameters that are neither', options: { ...base, parameters: { code: 5 } }, says: 'parameters.code must be a function' },
  { title: 'a header that is no text', options: { ...base, headers: { 'x-api': 5 } }, says: 'headers.x-api must be text' },
  { title: 'a reserved header', options: { ...base, headers: { Authorization: 'Basic x' } }, says: 'headers.authorization is set by this plugin itself' },
  { title: 'a header that is none', options: { ...base, headers: { 'a b': 'x' } }, says: 'headers must be names and values that HTTP takes' },
  { title: 'a tokenRequest that is no function', options: { ...base, tokenRequest: {} }, says: 'tokenRequest must be a function' },
  { title: 'no session key', options: without('session'), says: 'session.key is required: 32 random bytes, from node -e' },
  { title: 'an empty array of keys', options: { ...base, session: { key: [] } }, says: 'session.key must hold at least one key' },
  { title: 'a cookie with __Host- and a domain', options: withSession({ cookie: { domain: 'example.com' } }), says: 'session.cookie: a __Host- cookie has no domain, the path / and secure. Give session.cookieName' },
  { title: 'a cookie with __Host- and a path', options: withSession({ cookie: { path: '/app' } }), says: 'session.cookie: a __Host- cookie has no domain' },
  { title: 'a cookie named with __Host- that is not secure', options: withSession({ cookieName: '__Host-x', cookie: { secure: false } }), says: 'session.cookie: a __Host- cookie has no domain' },
  { title: 'a cookie named with __Secure- that is not secure', options: withSession({ cookieName: '__Secure-x', cookie: { secure: false } }), says: 'session.cookieName: a __Secure- cookie needs secure' },
  { title: 'a cookie named with __Host- on plain http', options: { ...base, session: { key, cookieName: '__Host-x' }, login: { ...login, callbackUri: 'http://localhost:3000/cb' } }, says: 'session.cookie: a __Host- cookie has no domain' },
  { title: 'SameSite=None without Secure', options: withSession({ cookie: { sameSite: 'none', secure: false } }), says: 'session.cookie.sameSite: none needs secure' },
  { title: 'Partitioned without Secure', options: withSession({ cookie: { partitioned: true, secure: false } }), says: 'session.cookie.partitioned needs secure' }
]

const badKeys: Wrong[] = [
  { title: 'a Buffer too short', options: Buffer.alloc(31), says: 'session.key must be 32 bytes, as Buffer, base64 or hex text' },
  { title: 'a Buffer too long', options: Buffer.alloc(33), says: 'session.key must be 32 bytes' },
  { title: 'base64 too short', options: Buffer.alloc(31, 's').toString('base64'), says: 'session.key must be 32 bytes' },
  { title: 'hex too short', options: key.toString('hex').slice(2), says: 'session.key must be 32 bytes' },
  { title: 'a passphrase', options: 'correct horse battery staple', says: 'session.key must be 32 bytes' },
  { title: 'a passphrase that is 32 bytes to a careless decoder', options: key.toString('base64').replace('a', 'a !?'), says: 'session.key must be 32 bytes' },
  { title: 'a number', options: 32, says: 'session.key must be 32 bytes' },
  { title: 'an array of which one is bad', options: [key, 'too short', key], says: 'session.key.1 must be 32 bytes' }
].map(({ options, ...rest }) => ({ ...rest, options: { ...base, session: { key: options } } }))

for (const [heading, table] of Object.entries({ 'wrong, missing and unknown options': shapes, 'options that do not go together': rules, 'session keys of a wrong length': badKeys })) {
  test(`${heading} fail the boot with their path and what was expected`, async (t) => {
    for (const { title, options, says } of table) {
      const error = await bootProblem(options)
      t.match(error, { code: 'FST_TOKEN_INVALID_OPTIONS', statusCode: 500 }, title)
      t.match(error.message, says, title)
    }
  })
}

test('no secret or key ever stands in an error about the options', async (t) => {
  const secrets = [secret, key.toString('base64'), key.toString('hex'), key.toString(), 'too short', 'correct horse']
  for (const { title, options } of [...shapes, ...rules, ...badKeys]) {
    const error = await bootProblem(options)
    const text = inspect(error, { depth: Infinity, showHidden: true }) + JSON.stringify(error)
    for (const one of secrets) t.notOk(text.includes(one), `${title} tells no secret`)
  }
})

test('a name that another registration has is refused, naming those there are', async (t) => {
  t.throws(() => checkOptions({ ...base, name: 'github' }, { ...alone, names: ['default', 'github'] }), {
    code: 'FST_TOKEN_INVALID_OPTIONS', message: /name must differ from the other registrations' \(default, github\)/
  })
})

test('the defaults are those of the schema', async (t) => {
  const { clock, session, ...rest } = checkOptions(base, alone)
  t.strictSame(rest, {
    issuer,
    clientId: 'web',
    clientSecret: secret,
    clients: {},
    apis: {},
    name: 'default',
    refreshBeforeExpiration: 60,
    refresh: 'onRequest',
    gracePeriod: 30,
    retryAmbiguous: false,
    requestTimeout: 10,
    clockTolerance: 30,
    allowInsecureRequests: [],
    bff: { csrfHeader: 'X-CSRF: 1' }
  })
  t.strictSame(session, {
    claims: ['sub', 'name', 'preferred_username', 'email'],
    maxCookieBytes: 8000,
    inactivityDuration: 86_400,
    absoluteDuration: 604_800,
    keys: [key],
    cookieName: '__Host-tokens',
    endsWith: undefined,
    cookie: { path: '/', sameSite: 'lax', partitioned: false, secure: true }
  })
  t.ok(Math.abs(clock() - Date.now() / 1000) < 60, 'the clock is the system\'s, in seconds')
})

test('a login fills in its paths and brings a logout; without one there is none', async (t) => {
  const filled = checkOptions({ ...base, login }, alone)
  t.match(filled.login, { ...login, startRedirectPath: '/auth/login', saveTokens: true })
  t.strictSame(filled.logout, { path: '/auth/logout' })
  t.match(checkOptions({ ...base, login, logout: { path: '/bye' } }, alone).logout, { path: '/bye' })
  t.equal(checkOptions({ ...base, login: undefined }, alone).logout, undefined)
})

test('the cookie is named after the provider, and plain only where it cannot be Secure', async (t) => {
  const nameOf = (more: object) => checkOptions({ ...base, ...more }, alone).session.cookieName
  t.equal(nameOf({ name: 'github' }), '__Host-github-tokens')
  t.equal(nameOf({ session: { key, cookieName: 'sid' } }), 'sid')
  t.equal(nameOf({ session: { key, cookie: { secure: false } } }), 'tokens')
  t.equal(nameOf({ login }), '__Host-tokens')
  for (const host of ['localhost', 'app.localhost', 'a.b.localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.10', '[::1]']) {
    const { session } = checkOptions({ ...base, login: { ...login, callbackUri: `http://${host}:3000/cb` }, issuer: `http://${host}:4000` }, alone)
    t.match(session, { cookieName: 'tokens', cookie: { secure: false } }, host)
  }
  t.match(checkOptions({ ...base, session: { key, cookieName: 'sid', cookie: { domain: 'example.com', path: '/app' } } }, alone).session, {
    cookieName: 'sid', cookie: { domain: 'example.com', path: '/app', secure: true }
  })
})

test('keys are 32 bytes as Buffer, base64, base64url or hex, alone or in an array', async (t) => {
  const second = Buffer.alloc(32, 0xfb)
  const forms = [second, new Uint8Array(second), second.toString('base64'), second.toString('base64url'), second.toString('hex'), second.toString('hex').toUpperCase()]
  for (const form of forms) t.strictSame(checkOptions({ ...base, session: { key: form } }, alone).session.keys, [second], inspect(form))
  t.strictSame(checkOptions({ ...base, session: { key: [key, ...forms] } }, alone).session.keys, [key, ...forms.map(() => second)])
})

test('without a login the key may be left out where @fastify/session or a store of the app is there', async (t) => {
  for (const there of [{ session: true }, { tokenStore: 'store' as const }]) {
    t.strictSame(checkOptions(without('session'), { ...alone, ...there }).session.keys, [])
    t.throws(() => checkOptions({ ...base, session: { key: 'short' } }, { ...alone, ...there }), { code: 'FST_TOKEN_INVALID_OPTIONS' }, 'a wrong one is wrong all the same')
  }
})

test('the session that the tokens end with is the app\'s own of @fastify/secure-session, under its usual name or the one that is given', async (t) => {
  const there = (...names: string[]) => ({ ...alone, secureSession: true, onRequest: (name: string) => names.includes(name) })
  const endsWith = (name: string) => ({ ...base, session: { key, endsWith: name } })
  t.equal(checkOptions(base, there('session')).session.endsWith, 'session')
  t.equal(checkOptions(base, there('mine')).session.endsWith, undefined)
  t.equal(checkOptions(endsWith('mine'), there('session', 'mine')).session.endsWith, 'mine')
  t.equal(checkOptions(base, { ...there('session'), secureSession: false }).session.endsWith, undefined, 'that of another plugin')
  for (const surroundings of [there('session'), { ...there('mine'), secureSession: false }]) {
    t.throws(() => checkOptions(endsWith('mine'), surroundings), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /session\.endsWith.*named mine.*Register that before/ })
  }
})

test('dpop: true is ES256, and false is none', async (t) => {
  t.strictSame([true, { alg: 'EdDSA' }, false].map((dpop) => checkOptions({ ...base, dpop }, alone).dpop), [{ alg: 'ES256' }, { alg: 'EdDSA' }, undefined])
})

test('R55 metadata by hand may hold members that nobody here reads', async (t) => {
  const more = { service_documentation: 'http://docs.example.com', token_endpoint_auth_methods_supported: ['client_secret_post'] }
  t.match(checkOptions({ ...without('issuer'), metadata: { ...metadata, ...more } }, alone).metadata, { ...metadata, ...more })
})

test('members of metadata by hand that are null or empty are absent', async (t) => {
  const empty = { op_policy_uri: '', revocation_endpoint: null, end_session_endpoint: '', jwks_uri: null, mtls_endpoint_aliases: { token_endpoint: null, revocation_endpoint: '' } }
  t.strictSame(checkOptions({ ...without('issuer'), metadata: { ...metadata, ...empty } }, alone).metadata, { ...metadata, mtls_endpoint_aliases: {} })
  t.throws(() => checkOptions({ ...without('issuer'), metadata: { ...metadata, token_endpoint: '' } }, alone), { message: /metadata\.token_endpoint is required/ })
})

test('F21 origins in allowInsecureRequests may be plain http, of the provider and of the app', async (t) => {
  const allowInsecureRequests = ['http://keycloak:8080', 'http://app.test']
  const checked = checkOptions({ ...base, issuer: 'http://keycloak:8080/realms/a', allowInsecureRequests, login: { ...login, callbackUri: 'http://app.test/cb' } }, alone)
  t.match(checked, { issuer: 'http://keycloak:8080/realms/a', session: { cookieName: 'tokens', cookie: { secure: false } } }, 'a Secure cookie would be dropped')
  t.ok(checkOptions({ ...without('issuer'), allowInsecureRequests, metadata: { ...metadata, token_endpoint: 'http://keycloak:8080/token', jwks_uri: 'http://keycloak:8080/jwks' } }, alone))
})

test('F26 prefix, and whatever else is Fastify\'s own, may stand among the options, as @fastify/autoload has it', async (t) => {
  const checked = checkOptions({ ...base, prefix: '/plugins', logLevel: 'warn', logSerializers: {} }, alone)
  t.notOk('prefix' in checked || 'logLevel' in checked || 'logSerializers' in checked)
})

test('the caller\'s options are left as they are, frozen ones too', async (t) => {
  const session = Object.freeze({ key: Object.freeze([key]), cookie: Object.freeze({}) })
  const given = Object.freeze({ ...without('issuer'), session, metadata: Object.freeze({ ...metadata }), login: Object.freeze({ ...login, scope: Object.freeze(['openid']) }) })
  const before = inspect(given, { depth: Infinity })
  checkOptions(given, alone)
  t.equal(inspect(given, { depth: Infinity }), before)

  const thawed = { ...base, login: { ...login } }
  const checked = checkOptions(thawed, alone)
  thawed.login.callbackUri = 'https://elsewhere.example'
  t.equal(checked.login?.callbackUri, login.callbackUri, 'what the caller changes later changes nothing')
  t.notOk(Object.isFrozen(thawed.login))
})

test('the checked options are frozen, all the way', async (t) => {
  const checked = checkOptions({ ...without('issuer'), metadata: { ...metadata, issuer: `${issuer}/{tenantid}`, mtls_endpoint_aliases: {} }, tenants: ['a'], login, logout: {} }, alone)
  for (const part of [checked, checked.session, checked.session.cookie, checked.login, checked.login?.scope, checked.logout, checked.metadata, checked.metadata?.mtls_endpoint_aliases, checked.allowInsecureRequests, checked.tenants]) {
    t.ok(part !== undefined && Object.isFrozen(part))
  }
})

test('functions and dispatchers are handed on as they are, and not frozen', async (t) => {
  const agents = [new Agent(), new MockAgent()]
  t.teardown(async () => { for (const agent of agents) await agent.close() })
  const callbacks = { onRefreshed () {}, onRefreshFailed () {}, onSessionEnded () {}, clock: () => 0, clientAuthentication: clientSecretPost(secret) }
  for (const backchannel of agents) {
    const checked = checkOptions({ ...without('clientSecret'), ...callbacks, backchannel }, alone)
    t.equal(checked.backchannel, backchannel)
    t.notOk(Object.isFrozen(backchannel))
    for (const [name, callback] of Object.entries(callbacks)) t.equal(Object.entries(checked).find(([other]) => other === name)?.[1], callback, name)
  }
  const connect = () => {}
  t.strictSame(checkOptions({ ...base, backchannel: { connections: 3, connect } }, alone).backchannel, { connections: 3, connect }, 'so are options of an Agent')
  const onLogin = () => {}
  t.equal(checkOptions({ ...base, login: { ...login, onLogin } }, alone).login?.onLogin, onLogin)
})

test('every option of the schema has a description', async (t) => {
  let count = 0
  const walk = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null || !('properties' in schema)) return
    for (const [name, option] of Object.entries(Object(schema.properties))) {
      count++
      t.match(option, { description: /\S.{10,}\.$/ }, `${path}${name}`)
      walk(option, `${path}${name}.`)
    }
  }
  walk(OptionsSchema, '')
  t.ok(count > 35, 'nested options were walked, too')
})
