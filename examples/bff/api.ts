import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

interface ApiOptions {
  /** Whose tokens it takes. */
  issuer: string
  /** What it is called in those tokens. */
  audience: string
}

/** An API that knows nothing of cookies or browsers: it wants a valid access token with every request. */
export function orderApi ({ issuer, audience }: ApiOptions): FastifyInstance {
  const app = fastify({ logger: { level: 'warn' } })
  const keys = createRemoteJWKSet(new URL('/jwks', issuer))

  app.get('/orders', async (request, reply) => {
    try {
      const { payload } = await jwtVerify(bearerToken(request), keys, {
        issuer, audience, typ: 'at+jwt', algorithms: ['RS256'], requiredClaims: ['sub', 'iat', 'exp']
      })
      const { sub, iat = 0, exp = 0 } = payload
      return {
        customer: sub,
        orders: [
          { number: 1042, item: 'Espresso machine', price: 249 },
          { number: 1043, item: 'Coffee beans, 2 kg', price: 38 },
          { number: 1044, item: 'Two cups', price: 17 }
        ],
        token: { lifetime: exp - iat, secondsLeft: exp - Date.now() / 1000 }
      }
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error
      // RFC 6750 §3: why, in a header, and never the token itself.
      return reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send({ error: 'invalid_token', reason: error.code })
    }
  })

  return app
}

function bearerToken (request: FastifyRequest): string {
  return request.headers.authorization?.replace(/^Bearer /i, '') ?? ''
}
