import type { FastifyBaseLogger } from 'fastify'
import type { Dropped } from '../tokens/token-answer.ts'

/** What is worth a warning, and no more than one. */
export class Notices {
  readonly #log: Pick<FastifyBaseLogger, 'warn'>
  readonly #clientId: string
  readonly #said = new Set<string>()

  constructor (log: Pick<FastifyBaseLogger, 'warn'>, clientId: string) {
    this.#log = log
    this.#clientId = clientId
  }

  /** What is left out of answers is said once for each member and reason. */
  dropped (dropped: readonly Dropped[]): void {
    for (const { member, problem } of dropped) {
      this.once(`${member}: ${problem}`, { member, problem }, `The token service gives ${member} in a form that cannot be used: it is left out, and the tokens count`)
    }
  }

  once (kind: string, details: object, message: string): void {
    if (this.#said.has(kind)) return
    this.#said.add(kind)
    this.#log.warn({ clientId: this.#clientId, ...details }, message)
  }
}
