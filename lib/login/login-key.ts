import type { FastifyReply, FastifyRequest } from 'fastify'
import type { DpopAlgorithm } from '../options/schema.ts'
import type { Seal } from '../stores/seal.ts'
import { generateDpopKey } from '../token-service/dpop.ts'
import { isRecord } from '../tokens/record.ts'
import type { JsonWebKey } from '../tokens/token-set.ts'
import type { LoginCookies } from './login-cookies.ts'

/** The DPoP key of a session that is yet to be: from the redirect to the callback it is sealed in a cookie, together with the `state` of that login. */
export class LoginKey {
  readonly #alg: DpopAlgorithm
  readonly #seal: Seal
  readonly #cookies: LoginCookies

  constructor (alg: DpopAlgorithm, seal: Seal, cookies: LoginCookies) {
    this.#alg = alg
    this.#seal = seal
    this.#cookies = cookies
  }

  async start (reply: FastifyReply, state: string | null): Promise<JsonWebKey> {
    const { names, attributes } = this.#cookies
    const dpopKey = await generateDpopKey(this.#alg)
    reply.setCookie(names.dpopKey, this.#seal.seal({ state, dpopKey }), attributes)
    return dpopKey
  }

  /** `undefined` where this browser holds none of this login. */
  of ({ cookies, log }: FastifyRequest, state: string): JsonWebKey | undefined {
    const { content = {} } = this.#seal.open(cookies[this.#cookies.names.dpopKey] ?? '', log) ?? {}
    return content.state === state && isRecord(content.dpopKey) ? content.dpopKey : undefined
  }
}
