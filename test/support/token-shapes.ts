import { createHash } from 'node:crypto'
import type { TokenResponse } from '../../lib/tokens/from-response.ts'

/*
 * Token responses in the shapes of well-known providers, after what their documentation and tokens of theirs show: which
 * claims, which algorithms, how long the opaque ones are. Nobody's tokens, and the same ones at every run.
 */

/** A session of each kind, by the name that the documentation gives it. */
export const tokenShapes: Record<string, TokenResponse> = {
  'Keycloak, 10 roles': keycloak(10),
  'Keycloak, 100 roles': keycloak(100),
  'Entra ID, no groups': entra(0),
  'Entra ID, 50 groups': entra(50),
  Auth0: auth0(),
  Okta: okta(),
  Google: google()
}

function keycloak (roles: number): TokenResponse {
  const { issuedAt, user, id } = source(`keycloak ${roles}`)
  const iss = 'https://sso.example.com/realms/example'
  const common = { iat: issuedAt, auth_time: issuedAt - 2, iss, sub: id(), azp: 'web', sid: id(), acr: '1' }
  const realmRoles = ['offline_access', 'uma_authorization', 'default-roles-example', ...names(roles)]
  const scope = 'openid offline_access profile email'
  return {
    access_token: rs256({ exp: issuedAt + 300, jti: `onrtac:${id()}`, ...common, typ: 'Bearer', aud: ['orders', 'account'], 'allowed-origins': ['https://app.example.com', 'https://intranet.shop-1.example.com:8443'], realm_access: { roles: realmRoles }, resource_access: { account: { roles: ['manage-account', 'manage-account-links', 'view-profile'] } }, scope, ...user }, id()),
    id_token: rs256({ exp: issuedAt + 300, jti: id(), ...common, typ: 'ID', aud: 'web', nonce: noise(id(), 26), at_hash: noise(id(), 16), ...user }, id()),
    refresh_token: jwt({ alg: 'HS512', typ: 'JWT', kid: id() }, { iat: issuedAt, jti: id(), iss, aud: iss, sub: common.sub, typ: 'Offline', azp: 'web', sid: common.sid, scope: `${scope} basic roles web-origins` }, 64),
    ...bearer(300, scope)
  }
}

function entra (groups: number): TokenResponse {
  const { issuedAt, id, user } = source(`entra ${groups}`)
  const tid = id()
  const common = {
    iss: `https://login.microsoftonline.com/${tid}/v2.0`,
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + 4500,
    aio: noise(id(), 90),
    name: user.name,
    oid: id(),
    preferred_username: user.email,
    rh: `0.${noise(id(), 60)}`,
    sub: noise(id(), 32),
    tid,
    uti: noise(id(), 16),
    ver: '2.0',
    ...(groups > 0 && { groups: Array.from({ length: groups }, id) })
  }
  const kid = noise(id(), 20)
  return {
    access_token: rs256({ aud: id(), ...common, azp: id(), azpacr: '1', roles: names(3), scp: 'orders.read orders.write' }, kid),
    id_token: rs256({ aud: id(), ...common, email: user.email, nonce: noise(id(), 32) }, kid),
    refresh_token: `1.${noise(id(), 750)}`,
    ...bearer(4500, 'openid profile offline_access api://orders/orders.read')
  }
}

function auth0 (): TokenResponse {
  const { issuedAt, id, user } = source('auth0')
  const common = { iss: 'https://example.eu.auth0.com/', sub: 'auth0|65f1c0b2a3d4e5f6a7b8c9d0', iat: issuedAt, exp: issuedAt + 86_400 }
  return {
    access_token: rs256({ ...common, aud: ['https://api.example.com', 'https://example.eu.auth0.com/userinfo'], scope: 'openid profile email read:orders write:orders offline_access', azp: noise(id(), 24), permissions: ['read:orders', 'write:orders'] }, noise(id(), 16)),
    id_token: rs256({ ...common, ...user, nickname: 'alice', picture: `https://s.gravatar.com/avatar/${noise(id(), 24)}?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fal.png`, updated_at: '2026-01-01T10:00:00.000Z', aud: noise(id(), 24), sid: noise(id(), 24), nonce: noise(id(), 32) }, noise(id(), 16)),
    refresh_token: `v1.M${noise(id(), 47)}`,
    ...bearer(86_400, 'openid profile email read:orders write:orders offline_access')
  }
}

function okta (): TokenResponse {
  const { issuedAt, id, user } = source('okta')
  const common = { ver: 1, jti: `ID.${noise(id(), 32)}`, iss: 'https://example.okta.com/oauth2/default', iat: issuedAt, exp: issuedAt + 3600, auth_time: issuedAt - 2 }
  const kid = noise(id(), 32)
  return {
    access_token: rs256({ ...common, aud: 'api://default', cid: `0oa${noise(id(), 13)}`, uid: `00u${noise(id(), 13)}`, scp: ['openid', 'profile', 'offline_access', 'orders'], sub: user.email, groups: ['Everyone', 'Orders'] }, kid),
    id_token: rs256({ sub: `00u${noise(id(), 13)}`, name: user.name, email: user.email, ...common, aud: `0oa${noise(id(), 13)}`, amr: ['pwd', 'mfa'], idp: `00o${noise(id(), 13)}`, nonce: noise(id(), 32), preferred_username: user.email, at_hash: noise(id(), 16) }, kid),
    refresh_token: noise(id(), 32),
    ...bearer(3600, 'openid profile offline_access orders')
  }
}

function google (): TokenResponse {
  const { issuedAt, id, user } = source('google')
  const aud = `1234567890-${noise(id(), 24).toLowerCase()}.apps.googleusercontent.com`
  return {
    access_token: `ya29.a0${noise(id(), 160)}`,
    id_token: rs256({ iss: 'https://accounts.google.com', azp: aud, aud, sub: '110169484474386276334', hd: 'example.com', email: user.email, email_verified: true, at_hash: noise(id(), 16), nonce: noise(id(), 32), name: user.name, picture: `https://lh3.googleusercontent.com/a/${noise(id(), 32)}=s96-c`, given_name: user.given_name, family_name: user.family_name, iat: issuedAt, exp: issuedAt + 3599 }, noise(id(), 20)),
    refresh_token: `1//0${noise(id(), 72)}`,
    ...bearer(3599, 'openid https://www.googleapis.com/auth/userinfo.profile https://www.googleapis.com/auth/userinfo.email')
  }
}

function source (seed: string) {
  let count = 0
  return {
    issuedAt: 1_767_261_600,
    user: { email_verified: true, name: 'Alice Example', preferred_username: 'alice.example', given_name: 'Alice', family_name: 'Example', email: 'alice.example@example.com' },
    /** A UUID. */
    id: () => createHash('sha256').update(`${seed} ${count++}`).digest('hex').replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/, '$1-$2-4$3-8$4-$5')
  }
}

function bearer (expiresIn: number, scope: string) {
  return { token_type: 'Bearer', expires_in: expiresIn, scope }
}

function names (count: number): string[] {
  const [areas, rights] = [['orders', 'invoices', 'customers', 'reports', 'stock', 'prices', 'returns', 'offers', 'audit', 'admin'], ['read', 'write', 'approve', 'export', 'delete', 'share', 'print', 'import', 'plan', 'close']]
  return Array.from({ length: count }, (_, index) => `${areas[index % 10]}-${rights[(index + Math.floor(index / 10)) % 10]}`)
}

function rs256 (claims: object, kid: string): string {
  return jwt({ alg: 'RS256', typ: 'JWT', kid }, claims, 256)
}

function jwt (header: object, claims: object, signatureBytes: number): string {
  const [first, second] = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  return `${first}.${second}.${noise(`${first}.${second}`, signatureBytes)}`
}

/** So many bytes that no compression makes smaller, in base64url. */
function noise (seed: string, bytes: number): string {
  return createHash('shake256', { outputLength: bytes }).update(seed).digest('base64url')
}
