import { type ClientAuth, ClientSecretBasic, ClientSecretPost } from 'oauth4webapi'

/**
 * How the client authenticates at the token service: one function per method of the IANA registry "OAuth Token Endpoint
 * Authentication Methods". It is chosen by the option `clientAuthentication`, and never found out by trying: a second try
 * would spend a rotating refresh token.
 */
export type ClientAuthentication = ClientAuth

/**
 * `client_secret_basic`: the secret in the Authorization header. What the option `clientSecret` alone means.
 *
 * @param clientSecret - as registered at the provider.
 * @see RFC 6749 §2.3.1
 */
export function clientSecretBasic (clientSecret: string): ClientAuthentication {
  return ClientSecretBasic(clientSecret)
}

/**
 * `client_secret_post`: the secret in the body, for services that take no header.
 *
 * @param clientSecret - as registered at the provider.
 * @example
 * await app.register(tokenManagement, { clientAuthentication: clientSecretPost(process.env.CLIENT_SECRET), ... })
 * @see RFC 6749 §2.3.1
 */
export function clientSecretPost (clientSecret: string): ClientAuthentication {
  return ClientSecretPost(clientSecret)
}
