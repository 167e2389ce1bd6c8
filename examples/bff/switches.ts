import type { FastifyInstance } from 'fastify'
import type { Switches } from './provider-switches.ts'

/** What the page's switches do at the identity provider. They work without a token, for what they break is how tokens are had. */
export async function switches (app: FastifyInstance): Promise<void> {
  const guarded = { onRequest: app.requireCsrfHeader, config: { tokens: false } } as const

  app.get('/switches', guarded, async (request) => {
    return await (await request.apiClient('identityProvider').fetch('/demo/switches')).json()
  })

  app.put<{ Body: Switches }>('/switches', guarded, async (request) => {
    const body = JSON.stringify(request.body)
    return await (await request.apiClient('identityProvider').fetch('/demo/switches', { method: 'PUT', body })).json()
  })

  // Ends what the provider knows of the user's logins, behind the back of this app.
  app.post('/revocations', { onRequest: app.requireCsrfHeader, config: { tokens: { required: true } } }, async (request, reply) => {
    const account = String((await request.tokens.claims())?.sub)
    await request.apiClient('identityProvider').fetch(`/demo/grants/${encodeURIComponent(account)}`, { method: 'DELETE' })
    return reply.code(204).send()
  })
}
