import type { FastifyBaseLogger } from 'fastify'
import { type AuthorizationServer, type Client, type ClientAuth, ClientSecretPost, clockSkew, None, TlsClientAuth } from 'oauth4webapi'
import { InvalidOptions } from '../errors.ts'
import type { Options } from '../options/schema.ts'
import { assertUnexpired, checkCertificate, type ClientCertificate } from './client-certificate.ts'
import { type Current, ofCurrent } from './current.ts'

/**
 * How the client authenticates at the token service: one function per method of the IANA registry "OAuth Token Endpoint
 * Authentication Methods". It is chosen by the option `clientAuthentication`, and never found out by trying: a second try
 * would spend a rotating refresh token. A function of the app's own puts what the service wants into the body or the headers.
 */
export interface ClientAuthentication {
  (...request: Parameters<ClientAuth>): ReturnType<ClientAuth>
  /** Its names in the registry. */
  readonly methods?: readonly string[]
  /** The certificate of the connection authenticates (RFC 8705); where there is none here, the app's own backchannel brings it. */
  readonly mutualTls?: { readonly certificate?: () => Promise<ClientCertificate> }
  /** The secret of the client, where it has one: id_tokens may be signed with it (OpenID Connect Core §10.1). */
  readonly secret?: () => Promise<string>
}

/**
 * `client_secret_basic`: the secret in the Authorization header. What the option `clientSecret` alone means.
 *
 * @param clientSecret - as registered at the provider, or a function that gives the current one.
 * @throws FST_TOKEN_INVALID_OPTIONS where there is no secret.
 * @see RFC 6749 §2.3.1
 */
export function clientSecretBasic (clientSecret: Current<string>): ClientAuthentication {
  return authenticateBySecret('client_secret_basic', clientSecret, basic)
}

/**
 * `client_secret_post`: the secret in the body, for services that take no header.
 *
 * @param clientSecret - as registered at the provider, or a function that gives the current one.
 * @throws FST_TOKEN_INVALID_OPTIONS where there is no secret.
 * @example
 * await app.register(tokenManagement, { clientAuthentication: clientSecretPost(secret), ... })
 * @see RFC 6749 §2.3.1
 */
export function clientSecretPost (clientSecret: Current<string>): ClientAuthentication {
  return authenticateBySecret('client_secret_post', clientSecret, ClientSecretPost)
}

/**
 * `none`: a public client, which sends its `client_id` and nothing else.
 *
 * @see RFC 6749 §2.1, RFC 7591 §2
 */
export function none (): ClientAuthentication {
  return Object.assign(None(), { methods: ['none'] })
}

/**
 * `tls_client_auth` and `self_signed_tls_client_auth`: the certificate of the connection authenticates. Certificate and key
 * go to the plugin's connections to the provider, and `mtls_endpoint_aliases` are used where its metadata has them.
 *
 * @param certificate - certificate and key in PEM, or a function that gives the current ones. Left out where the app's own
 * `backchannel` presents them.
 * @throws FST_TOKEN_INVALID_OPTIONS for what is no such pair, or has expired.
 * @example
 * await app.register(tokenManagement, { clientAuthentication: tlsClientAuth({ cert: readFileSync('tls.crt'), key: readFileSync('tls.key') }), ... })
 * @see RFC 8705 §2
 */
export function tlsClientAuth (certificate?: Current<ClientCertificate>): ClientAuthentication {
  const methods = ['tls_client_auth', 'self_signed_tls_client_auth']
  const authenticate = TlsClientAuth()
  if (certificate === undefined) return Object.assign(authenticate, { methods, mutualTls: {} })
  const current = ofCurrent(certificate, checkCertificate)
  const authenticateValid: ClientAuth = async (server, client, ...request) => {
    assertUnexpired(await current(), nowOf(client))
    await authenticate(server, client, ...request)
  }
  return Object.assign(authenticateValid, { methods, mutualTls: { certificate: current } })
}

/** What the options say; a secret alone means `client_secret_basic`. */
export function clientAuthenticationOf ({ clientAuthentication, clientSecret = '' }: Pick<Options, 'clientAuthentication' | 'clientSecret'>): ClientAuthentication {
  return clientAuthentication ?? clientSecretBasic(clientSecret)
}

/** Some providers list incompletely, so this is a reason to warn, and no more. */
export function warnIfUnlisted ({ methods }: ClientAuthentication, { token_endpoint_auth_methods_supported: listed }: AuthorizationServer, clientId: string, log: FastifyBaseLogger): void {
  if (methods === undefined || listed === undefined || methods.some((method) => listed.includes(method))) return
  log.warn({ clientId, listed }, `The provider does not list ${methods.join(' or ')} among its methods of client authentication: if it refuses the client, look at its registration there`)
}

/** A method as oauth4webapi has it, made of the current secret or key. */
export function authenticateBy<Value extends object | string> (method: string, value: Current<Value>, make: (value: Value) => ClientAuth): ClientAuthentication {
  const current = ofCurrent(value, make)
  const authenticate: ClientAuth = async (...request) => {
    const authentication = await current()
    await authentication(...request)
  }
  return Object.assign(authenticate, { methods: [method] })
}

/** @throws FST_TOKEN_INVALID_OPTIONS where there is no secret. */
export function authenticateBySecret (method: string, clientSecret: Current<string>, make: (secret: string) => ClientAuth): ClientAuthentication {
  return Object.assign(authenticateBy(method, clientSecret, (secret) => make(present(secret))), { secret: ofCurrent(clientSecret, present) })
}

/** The credentials are form-encoded as the URL standard has it, which leaves `*-._` as they are: so services take them, too, that decode nothing. */
function basic (clientSecret: string): ClientAuth {
  return (_server, { client_id: clientId }, _body, headers) => {
    const credentials = new URLSearchParams([[clientId, clientSecret]]).toString().replace('=', ':')
    headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`)
  }
}

/** Seconds since the epoch, by the clock of the option. */
function nowOf ({ [clockSkew]: skew = 0 }: Client): number {
  return Date.now() / 1000 + skew
}

function present (clientSecret: string): string {
  if (typeof clientSecret === 'string' && clientSecret !== '') return clientSecret
  throw new InvalidOptions('the client secret is missing or empty: give the one that is registered at the provider')
}
