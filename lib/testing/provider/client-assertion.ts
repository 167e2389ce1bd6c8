import { createLocalJWKSet, decodeProtectedHeader, errors, jwtVerify, type JWTVerifyResult } from 'jose'
import type { Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

export const assertionAlgorithms = ['HS256', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/** RFC 7521 §4.2, RFC 7523 §3, with no tolerance for clocks. */
export async function checkClientAssertion (realm: Realm, record: RequestRecord, form: Form): Promise<string | undefined> {
  if (form.get('client_assertion_type') !== 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer') {
    throw new OAuthError('invalid_request', 'client_assertion_type is not the one of a JWT')
  }
  const { protectedHeader: header, payload: claims } = await verified(realm, form.get('client_assertion') ?? '')
  const { settings, usedAssertions } = realm
  const { aud, exp = 0, jti = '', sub } = claims
  if (aud !== (settings.assertionAudience === 'issuer' ? realm.issuer : `${realm.issuer}/token`)) throw refused('aud')
  if (exp > settings.clock() + settings.assertionLifetime) throw refused('exp is too far away')
  if (settings.assertionType !== undefined && header.typ !== settings.assertionType) throw refused('typ')
  if (usedAssertions.has(jti)) throw refused('jti was used before')
  usedAssertions.add(jti)
  record.assertion = { header: { ...header }, claims: { ...claims } }
  return sub
}

export function isSignedBySecret (assertion: string): boolean {
  try {
    return decodeProtectedHeader(assertion).alg === 'HS256'
  } catch {
    return false
  }
}

async function verified ({ settings }: Realm, assertion: string): Promise<JWTVerifyResult> {
  const { clientId, clientSecret, clientJwks } = settings
  const checks = {
    issuer: clientId,
    subject: clientId,
    algorithms: assertionAlgorithms,
    requiredClaims: ['aud', 'exp', 'jti'],
    currentDate: new Date(settings.clock() * 1000),
    clockTolerance: 0
  }
  try {
    return isSignedBySecret(assertion)
      ? await jwtVerify(assertion, Buffer.from(clientSecret), checks)
      : await jwtVerify(assertion, createLocalJWKSet(clientJwks), checks)
  } catch (error) {
    throw refused(error instanceof errors.JOSEError ? error.message : 'unreadable')
  }
}

function refused (what: string): OAuthError {
  return new OAuthError('invalid_client', `the assertion is refused: ${what}`, 401)
}
