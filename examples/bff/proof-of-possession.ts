import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { calculateJwkThumbprint, EmbeddedJWK, errors, type JWTPayload, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'

const maxAgeSeconds = 60

/** Checks that whoever sends a token has the key that it is bound to (DPoP, RFC 9449 §4.3): a stolen token is of no use. */
export function proofCheck () {
  const seen = new LRUCache<string, true>({ max: 10_000, ttl: 2 * maxAgeSeconds * 1000 })

  /** @throws JOSEError */
  return async function check ({ headers, method, protocol, host, url }: FastifyRequest, token: string, thumbprint: string): Promise<void> {
    const { payload, protectedHeader: { jwk } } = await jwtVerify(String(headers.dpop), EmbeddedJWK, {
      typ: 'dpop+jwt', algorithms: ['ES256'], maxTokenAge: maxAgeSeconds, clockTolerance: 5, requiredClaims: ['jti']
    })
    const expected = {
      htm: method,
      htu: new URL(url.split('?')[0] ?? '', `${protocol}://${host}`).href,
      ath: createHash('sha256').update(token).digest('base64url')
    }
    for (const [claim, value] of Object.entries(expected)) {
      if (payload[claim] !== value) refuse(payload, claim)
    }
    if (jwk === undefined || await calculateJwkThumbprint(jwk) !== thumbprint) refuse(payload, 'jwk')
    const id = `${thumbprint} ${payload.jti}`
    if (seen.has(id)) refuse(payload, 'jti')
    seen.set(id, true)
  }
}

function refuse (payload: JWTPayload, claim: string): never {
  throw new errors.JWTClaimValidationFailed(`the proof is for something else: ${claim}`, payload, claim, 'check_failed')
}
