import { assertionAlgorithms } from './client-assertion.ts'
import { proofAlgorithms } from './proofs.ts'
import type { Realm } from './realm.ts'
import type { Endpoint } from './request-log.ts'
import { signingAlgorithm } from './signer.ts'

const paths = {
  authorization: '/authorize',
  pushedAuthorization: '/par',
  token: '/token',
  revocation: '/revoke',
  endSession: '/logout',
  jwks: '/jwks',
  userinfo: '/userinfo'
} satisfies Partial<Record<Endpoint, string>>

const endpoints = new Map<string, Endpoint>([
  [paths.authorization, 'authorization'],
  [paths.pushedAuthorization, 'pushedAuthorization'],
  [paths.token, 'token'],
  [paths.revocation, 'revocation'],
  [paths.endSession, 'endSession'],
  [paths.jwks, 'jwks'],
  [paths.userinfo, 'userinfo']
])

export function endpointAt (path: string, metadataPaths: string[]): Endpoint {
  return metadataPaths.includes(path) ? 'metadata' : endpoints.get(path) ?? 'unknown'
}

/** RFC 8414 §2, OpenID Connect Discovery §3 */
export function metadata ({ issuer, mtlsOrigin, settings }: Realm): object {
  return {
    issuer,
    authorization_endpoint: issuer + paths.authorization,
    pushed_authorization_request_endpoint: issuer + paths.pushedAuthorization,
    require_pushed_authorization_requests: settings.requirePushedRequests,
    token_endpoint: issuer + paths.token,
    revocation_endpoint: issuer + paths.revocation,
    end_session_endpoint: issuer + paths.endSession,
    userinfo_endpoint: issuer + paths.userinfo,
    jwks_uri: issuer + paths.jwks,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange'],
    subject_types_supported: ['public'],
    scopes_supported: ['openid', 'offline_access'],
    token_endpoint_auth_methods_supported: settings.clientAuthentication,
    revocation_endpoint_auth_methods_supported: settings.clientAuthentication,
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    ...mtlsOrigin !== undefined && {
      mtls_endpoint_aliases: {
        token_endpoint: mtlsOrigin + paths.token,
        revocation_endpoint: mtlsOrigin + paths.revocation,
        pushed_authorization_request_endpoint: mtlsOrigin + paths.pushedAuthorization
      }
    },
    id_token_signing_alg_values_supported: [signingAlgorithm],
    code_challenge_methods_supported: ['S256'],
    dpop_signing_alg_values_supported: proofAlgorithms,
    authorization_response_iss_parameter_supported: true,
    ...settings.metadata
  }
}
