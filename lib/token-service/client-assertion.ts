import { type AuthorizationServer, ClientSecretJwt, modifyAssertion, type ModifyAssertionOptions, PrivateKeyJwt } from 'oauth4webapi'
import { InvalidOptions } from '../errors.ts'
import { type OutgoingRequest, outgoingRequest } from '../tokens/outgoing-request.ts'
import { authenticateBy, authenticateBySecret, type ClientAuthentication } from './client-authentication.ts'
import type { Current } from './current.ts'
import { type PrivateKey, signingKey } from './private-key.ts'

/** What a client assertion says, besides what RFC 7523 §3 wants. */
export interface AssertionOptions {
  /** Whom it is for: the issuer, or for older services the token endpoint. Default: `issuer`. */
  readonly audience?: 'issuer' | 'token_endpoint'
  /** Members to add to the header of the JWT: `typ`, `x5t#S256`… */
  readonly header?: Readonly<Record<string, string>>
}

/** The key of `privateKeyJwt`, and what is said with it. */
export interface PrivateKeyJwtOptions extends AssertionOptions {
  /** A CryptoKey, a KeyObject, a JWK, or PEM. */
  readonly key: PrivateKey
  /** The name of the key, as registered with it. Default: the `kid` of the JWK. */
  readonly kid?: string
  /** RS256, PS256, ES256, EdDSA… Default: the `alg` of the JWK, else by the key: RS256, ES256, ES384, ES512 or EdDSA. */
  readonly alg?: string
}

/**
 * `client_secret_jwt`: a JWT that the secret signs (HS256), with a new `jti` for every attempt.
 *
 * @param clientSecret - as registered at the provider, or a function that gives the current one.
 * @throws FST_TOKEN_INVALID_OPTIONS where there is no secret.
 * @example
 * await app.register(tokenManagement, { clientAuthentication: clientSecretJwt(secret), ... })
 * @see RFC 7523 §2.2, OpenID Connect Core §9
 */
export function clientSecretJwt (clientSecret: Current<string>, options: AssertionOptions = {}): ClientAuthentication {
  checkAudience(options)
  return authenticateBySecret('client_secret_jwt', clientSecret, (secret) => async (server, ...request) => {
    await ClientSecretJwt(secret, modified(server, options))(server, ...request)
  })
}

/**
 * `private_key_jwt`: a JWT that a private key signs, with a new `jti` for every attempt. The provider knows the public key.
 *
 * @param options - key, `kid` and `alg`, or a function that gives the current ones.
 * @throws FST_TOKEN_INVALID_OPTIONS for what is no private key, or none for that `alg`.
 * @example
 * await app.register(tokenManagement, { clientAuthentication: privateKeyJwt({ key: await readFile('client.key'), kid: 'web-1', alg: 'PS256' }), ... })
 * @see RFC 7523 §2.2, OpenID Connect Core §9
 */
export function privateKeyJwt (options: Current<PrivateKeyJwtOptions>): ClientAuthentication {
  return authenticateBy('private_key_jwt', options, ({ key: given, kid: givenKid, alg: givenAlg, ...assertion }) => {
    checkAudience(assertion)
    const { alg, kid, import: importKey } = signingKey(given, givenKid, givenAlg)
    let importing: ReturnType<typeof importKey> | undefined
    return async (server, ...request) => {
      importing ??= importKey()
      // The name that is asked for: oauth4webapi calls every EdDSA by its newer name.
      const header = { ...assertion.header, alg }
      await PrivateKeyJwt({ key: await importing, kid }, modified(server, { ...assertion, header }))(server, ...request)
    }
  })
}

/**
 * Assertions that the app makes itself: by a key management service, or the token of a workload's identity. The function is
 * called for every attempt, and gives a new one each time: a `jti` is used once.
 *
 * @param assertion - gives the JWT. What it throws is the `cause` of the FST_TOKEN_SERVICE_UNAVAILABLE that the caller gets; the session is kept.
 * @example
 * await app.register(tokenManagement, { clientAuthentication: clientAssertion(() => readFile('/var/run/secrets/tokens/idp', 'utf8')), ... })
 * @see RFC 7521 §4.2, RFC 7523 §2.2
 */
export function clientAssertion (assertion: (request: OutgoingRequest) => string | Promise<string>): ClientAuthentication {
  return async (server, client, body) => {
    const jwt = await assertion(outgoingRequest(server, client, body))
    if (typeof jwt !== 'string' || jwt.trim() === '') throw new InvalidOptions('the function of clientAssertion must give a JWT')
    body.set('client_id', client.client_id)
    body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
    body.set('client_assertion', jwt.trim())
  }
}

function modified (server: AuthorizationServer, { audience, header }: AssertionOptions): ModifyAssertionOptions {
  return {
    [modifyAssertion] (jwtHeader, claims) {
      Object.assign(jwtHeader, header)
      if (audience === 'token_endpoint') claims.aud = server.token_endpoint
    }
  }
}

function checkAudience ({ audience = 'issuer' }: AssertionOptions): void {
  if (audience !== 'issuer' && audience !== 'token_endpoint') throw new InvalidOptions('audience must be issuer or token_endpoint; for any other, make the assertion yourself: clientAssertion')
}
