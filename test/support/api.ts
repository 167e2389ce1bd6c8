import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose'
import type { Test } from 'tap'
import { OAuthError } from '../../lib/testing/provider/oauth-error.ts'
import { Proofs } from '../../lib/testing/provider/proofs.ts'
import type { RequestRecord } from '../../lib/testing/provider/request-log.ts'
import { settingsFrom, type TestProviderSettings } from '../../lib/testing/provider/settings.ts'

/** One request as the API saw it. */
export interface ApiRequest extends Pick<FastifyRequest, 'method' | 'url' | 'headers'> {
  /** The status answered. */
  status?: number
  /** What the token said, once it was accepted. */
  claims?: JWTPayload
  body?: unknown
}

export interface TestApi {
  readonly app: FastifyInstance
  readonly origin: string
  /** All requests so far, those that were refused, too. */
  readonly requests: ApiRequest[]
  /** Which nonces it wants in proofs; may be changed at any time. */
  readonly settings: TestProviderSettings
  /** Answers 401 to this token from now on. */
  reject (accessToken: string): void
  /** Answers the next requests like this, before it reads their bodies. */
  next (answer: (request: FastifyRequest, reply: FastifyReply) => unknown, times?: number): void
}

export interface ApiOptions extends Partial<Pick<TestProviderSettings, 'dpopNonce' | 'clock'>> {
  readonly issuer: string
  /** Whom tokens must be for; default: the issuer, as those of a login without a resource are. */
  readonly audience?: string
  /** Whether it takes requests without a token. */
  readonly anonymous?: boolean
  readonly routes?: (app: FastifyInstance) => unknown
}

/**
 * An API that checks what it gets: signature, issuer, audience and lifetime of the token (RFC 9068), and the proof where it is bound to a
 * key (RFC 9449). It answers with what it understood.
 */
export async function startApi (t: Test, { issuer, audience = issuer, anonymous = false, routes, ...given }: ApiOptions): Promise<TestApi> {
  const { jwks_uri: jwksUri } = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json() as { jwks_uri: string }
  const jwks = createRemoteJWKSet(new URL(jwksUri))
  const settings = settingsFrom(given)
  const proofs = new Proofs(settings)
  const rejected = new Set<string>()
  const requests: ApiRequest[] = []
  const records = new WeakMap<FastifyRequest, ApiRequest>()
  const answers: Array<(request: FastifyRequest, reply: FastifyReply) => unknown> = []
  const app = Fastify({ forceCloseConnections: true, bodyLimit: 8 * 1024 * 1024 })
  t.teardown(() => app.close())
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body.toString('latin1')))

  app.addHook('onRequest', async (request, reply) => {
    const { method, url, headers } = request
    const record: ApiRequest = { method, url, headers: { ...headers } }
    requests.push(record)
    records.set(request, record)
    const answer = answers.shift()
    if (answer !== undefined) return await answer(request, reply)
  })
  // When the body is read: what is refused here has been sent whole.
  app.addHook('preHandler', async (request, reply) => {
    const { headers } = request
    const record = records.get(request) ?? {}
    if (headers.authorization === undefined && anonymous) return
    const judged = judge(request).finally(() => {
      if (headers.dpop !== undefined && settings.dpopNonce !== null) reply.header('dpop-nonce', proofs.nextNonce())
    })
    try {
      Object.assign(record, { claims: await judged })
    } catch (error) {
      const { code, message, scheme = 'Bearer' } = error instanceof Refusal ? error : new Refusal('invalid_token', String(error))
      return await reply.code(401).header('www-authenticate', code === '' ? scheme : `${scheme} error="${code}", error_description="${message.replaceAll('"', '')}"`).send({ api: code })
    }
  })
  app.addHook('onSend', async (request, reply) => {
    Object.assign(records.get(request) ?? {}, { status: reply.statusCode, body: request.body })
  })

  async function judge ({ method, url, headers }: FastifyRequest): Promise<JWTPayload> {
    const [, scheme = '', token = ''] = /^(Bearer|DPoP) (.+)$/.exec(headers.authorization ?? '') ?? []
    if (scheme === '') throw new Refusal('', 'no token')
    if (rejected.has(token)) throw new Refusal('invalid_token', 'revoked', scheme)
    const currentDate = new Date(settings.clock() * 1000)
    const { payload } = await jwtVerify<{ cnf?: { jkt?: string } }>(token, jwks, { issuer, audience, typ: 'at+jwt', currentDate, clockTolerance: 5 }).catch((error: unknown) => {
      throw new Refusal('invalid_token', error instanceof errors.JOSEError ? error.message : 'no token', scheme)
    })
    const jkt = payload.cnf?.jkt
    if (jkt === undefined && scheme === 'Bearer') return payload
    const record: RequestRecord = { at: 0, endpoint: 'unknown', method, url: new URL(url, origin), headers, body: '', params: {} }
    const proof = await proofs.take(record, token).catch((error: unknown) => {
      throw error instanceof OAuthError ? new Refusal(error.code, error.message, 'DPoP') : error
    })
    if (proof === undefined || proof.jkt !== jkt || scheme !== 'DPoP') throw new Refusal('invalid_token', 'bound to another key', 'DPoP')
    return payload
  }

  await routes?.(app)
  app.all('/*', async (request) => {
    const { sub = null, aud = null, scope = null } = records.get(request)?.claims ?? {}
    return { sub, aud, scope, method: request.method, url: request.url, body: request.body ?? null }
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    origin,
    requests,
    settings,
    reject: (accessToken) => { rejected.add(accessToken) },
    next: (answer, times = 1) => { for (let count = 0; count < times; count++) answers.push(answer) }
  }
}

/** The access token that a request came with. */
export function tokenOf ({ headers: { authorization = '' } }: ApiRequest): string {
  return authorization.replace(/^\w+ /, '')
}

class Refusal extends Error {
  readonly code: string
  readonly scheme: string | undefined

  constructor (code: string, message: string, scheme?: string) {
    super(message)
    this.code = code
    this.scheme = scheme
  }
}
