import { randomBytes, randomUUID } from 'node:crypto'
import type { Family } from './families.ts'
import type { Realm } from './realm.ts'

/** RFC 6749 §5.1 */
export interface TokenResponse {
  access_token: string
  token_type: 'Bearer' | 'DPoP'
  expires_in: number
  refresh_token?: string
  id_token?: string
  scope: string
}

/** What is asked of a family: an access token for this scope and resource. */
export interface TokenRequest {
  scope: string
  resource?: string | undefined
  nonce?: string | undefined
  /** The key to bind the access token to. */
  jkt?: string | undefined
  refreshToken?: string | undefined
  expiresIn?: number | undefined
}

export async function tokenResponse (realm: Realm, family: Family, asked: TokenRequest): Promise<TokenResponse> {
  const expiresIn = asked.expiresIn ?? realm.settings.expiresIn
  const issuedAt = realm.settings.clock()
  const accessToken = realm.settings.accessTokenFormat === 'jwt'
    ? await accessJwt(realm, family, asked, issuedAt, expiresIn)
    : randomBytes(realm.settings.tokenBytes).toString('base64url')
  realm.families.addAccessToken(accessToken, {
    family, scope: asked.scope, resource: asked.resource, jkt: asked.jkt, expiresAt: issuedAt + expiresIn
  })
  return {
    access_token: accessToken,
    token_type: asked.jkt === undefined ? 'Bearer' : 'DPoP',
    expires_in: expiresIn,
    ...asked.refreshToken !== undefined && { refresh_token: asked.refreshToken },
    ...asked.scope.split(' ').includes('openid') && { id_token: await idToken(realm, family, asked.nonce, issuedAt) },
    scope: asked.scope
  }
}

/** RFC 9068 */
function accessJwt ({ issuer, settings, signer }: Realm, family: Family, asked: TokenRequest, issuedAt: number, expiresIn: number): Promise<string> {
  const iat = Math.floor(issuedAt)
  return signer.sign({
    ...settings.accessTokenClaims,
    iss: issuer,
    sub: family.sub,
    aud: asked.resource ?? issuer,
    client_id: settings.clientId,
    scope: asked.scope,
    ...asked.jkt !== undefined && { cnf: { jkt: asked.jkt } },
    jti: randomUUID(),
    iat,
    exp: iat + expiresIn
  }, 'at+jwt')
}

/** OpenID Connect Core §2; a refreshed one has no nonce (§12.2). */
function idToken ({ issuer, settings, signer }: Realm, family: Family, nonce: string | undefined, issuedAt: number): Promise<string> {
  const iat = Math.floor(issuedAt)
  return signer.sign({
    ...settings.idTokenClaims,
    iss: issuer,
    sub: family.sub,
    aud: settings.clientId,
    sid: family.id,
    auth_time: family.authTime,
    ...nonce !== undefined && { nonce },
    iat,
    exp: iat + 3600
  })
}
