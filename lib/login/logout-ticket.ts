import { randomBytes } from 'node:crypto'
import { type SerializeOptions, stringifySetCookie } from 'cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import type { Seal } from '../stores/seal.ts'
import { cookiesOf, ownAttributes, setCookie } from './own-cookies.ts'

/** A browser goes there at once. */
const TICKET_SECONDS = 60

export interface LogoutTicketSettings {
  readonly cookieName: string
  readonly session: CheckedOptions['session']
  readonly clock: () => number
}

/**
 * Where a logout goes on at the provider: that address holds an id_token, so it does not stand in a body, where scripts read
 * it, but sealed in a cookie, under a number that is good once.
 */
export class LogoutTickets {
  readonly #seal: Seal
  readonly #settings: LogoutTicketSettings
  readonly #attributes: SerializeOptions

  constructor (seal: Seal, settings: LogoutTicketSettings) {
    this.#seal = seal
    this.#settings = settings
    this.#attributes = ownAttributes(settings.session)
  }

  /** @returns its number. */
  issue (reply: FastifyReply, address: string): string {
    const { cookieName, clock } = this.#settings
    const number = randomBytes(16).toString('base64url')
    const sealed = this.#seal.seal({ number, address, issuedAt: Math.floor(clock()) })
    setCookie(reply, stringifySetCookie(cookieName, sealed, { ...this.#attributes, maxAge: TICKET_SECONDS }))
    return number
  }

  /** The address of this number, once; `undefined` for another browser's, or one that came too late. */
  redeem (request: FastifyRequest, reply: FastifyReply, number: string): string | undefined {
    const { cookieName, clock } = this.#settings
    for (const [, sealed] of cookiesOf(request, (name) => name === cookieName)) {
      const { content } = this.#seal.open(sealed, request.log) ?? {}
      if (content?.number !== number || typeof content.address !== 'string') continue
      setCookie(reply, stringifySetCookie(cookieName, '', { ...this.#attributes, maxAge: 0 }))
      return clock() < Number(content.issuedAt) + TICKET_SECONDS ? content.address : undefined
    }
    return undefined
  }
}
