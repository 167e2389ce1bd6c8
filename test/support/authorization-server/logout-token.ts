import { randomUUID } from 'node:crypto'
import type { JWTPayload } from 'jose'
import type { AuthorizationServer } from './authorization-server.ts'
import type { Forgery } from './forgeries.ts'

export const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/** How a logout token differs from a good one. A claim that is `undefined` is left out. */
export interface LogoutTokenOptions { claims?: JWTPayload, forge?: Forgery, typ?: string }

/** A logout token of a server (OpenID Connect Back-Channel Logout §2.4). */
export async function logoutToken ({ issuer, settings, signer }: AuthorizationServer, { claims, forge = (payload, by, typ) => by.sign(payload, typ), typ = 'logout+jwt' }: LogoutTokenOptions = {}): Promise<string> {
  const iat = Math.floor(settings.clock())
  return await forge({ iss: issuer, aud: settings.clientId, iat, exp: iat + 120, jti: randomUUID(), events: { [logoutEvent]: {} }, ...claims }, signer, typ)
}
