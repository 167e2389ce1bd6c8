import fastify, { type FastifyInstance } from 'fastify'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { proofCheck } from './proof-of-possession.ts'

interface ApiOptions {
  /** Whose tokens it takes. */
  issuer: string
  /** What it is called in those tokens. */
  audience: string
}

/** An API that knows nothing of cookies or browsers: it wants a valid access token with every request, and the key of one that is bound to it. */
export function orderApi ({ issuer, audience }: ApiOptions): FastifyInstance {
  const app = fastify({ logger: { level: 'warn' } })
  const keys = createRemoteJWKSet(new URL('/jwks', issuer))
  const checkProof = proofCheck()

  app.get('/orders', async (request, reply) => {
    const [, scheme = '', token = ''] = /^(Bearer|DPoP) (.+)$/i.exec(request.headers.authorization ?? '') ?? []
    try {
      const { payload: { sub, cnf } } = await jwtVerify<{ cnf?: { jkt: string } }>(token, keys, {
        issuer, audience, typ: 'at+jwt', algorithms: ['RS256'], requiredClaims: ['sub', 'iat', 'exp']
      })
      const isBound = scheme.toLowerCase() === 'dpop'
      if (isBound !== (cnf !== undefined)) throw new errors.JWTInvalid('the token is of the other type')
      if (cnf !== undefined) await checkProof(request, token, cnf.jkt)
      return {
        customer: sub,
        orders: [
          { number: 1042, item: 'Espresso machine', price: 249 },
          { number: 1043, item: 'Coffee beans, 2 kg', price: 38 },
          { number: 1044, item: 'Two cups', price: 17 }
        ]
      }
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error
      // RFC 6750 §3: why, in a header, and never the token itself.
      return reply.code(401).header('www-authenticate', `${scheme || 'DPoP'} error="invalid_token"`).send({ error: 'invalid_token', reason: error.code })
    }
  })

  return app
}
