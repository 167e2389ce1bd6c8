import { type SerializeOptions, stringifySetCookie } from 'cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CheckedOptions } from '../options/check.ts'
import type { Seal } from '../stores/seal.ts'
import { cookiesOf, ownAttributes, ownPrefix, setCookie } from './own-cookies.ts'
import { packTransaction, type Transaction, TRANSACTION_SECONDS, unpackTransaction } from './transaction.ts'

/** Tabs of one browser that log in at one time; the oldest login goes first. */
const MOST = 4

/** As @fastify/oauth2 makes it. What comes to the callback is checked before it names anything. */
const STATE = /^[\w-]{16,64}$/

/** So much of the state names the cookie: enough for two logins not to meet. */
const NAMED_BY = 8

export interface TransactionsSettings {
  readonly provider: string
  readonly session: CheckedOptions['session']
  readonly clock: () => number
}

/** The logins that are under way in a browser: a sealed cookie each, so that two tabs do not meet. */
export class Transactions {
  readonly #seal: Seal
  readonly #settings: TransactionsSettings
  readonly #prefix: string
  readonly #attributes: SerializeOptions

  constructor (seal: Seal, settings: TransactionsSettings) {
    const { provider, session } = settings
    this.#seal = seal
    this.#settings = settings
    this.#prefix = transactionPrefix(provider, session)
    this.#attributes = ownAttributes(session)
  }

  /** Leaves a login in the browser. What it has of others stays, the newest of them, as far as there is room. */
  begin (request: FastifyRequest, reply: FastifyReply, transaction: Transaction): void {
    const name = this.#nameOf(transaction.state)
    const value = this.#seal.seal(packTransaction(transaction))
    const others = this.#othersIn(request).toSorted((one, other) => other.startedAt - one.startedAt)
    let room = this.#settings.session.maxCookieBytes - bytesOf([[name, value], ...this.#sessionIn(request)])
    for (const [index, { cookie, startedAt }] of others.entries()) {
      room -= bytesOf([cookie])
      if (index >= MOST - 1 || room < 0 || !this.#isInTime(startedAt)) this.#delete(reply, cookie[0])
    }
    setCookie(reply, stringifySetCookie(name, value, { ...this.#attributes, maxAge: TRANSACTION_SECONDS }))
  }

  /** The login of this state; `undefined` where this browser holds none that opens, or its time is over. */
  find (request: FastifyRequest, state: string | null): Transaction | undefined {
    if (state === null || !STATE.test(state)) return undefined
    const name = this.#nameOf(state)
    for (const [, value] of cookiesOf(request, (each) => each === name)) {
      const transaction = this.#open(request, value)
      if (transaction?.state === state && this.#isInTime(transaction.startedAt)) return transaction
    }
    return undefined
  }

  /** The login is over, whatever came of it. */
  end (reply: FastifyReply, { state }: Transaction): void {
    this.#delete(reply, this.#nameOf(state))
  }

  #nameOf (state: string): string {
    return this.#prefix + state.slice(0, NAMED_BY)
  }

  #isInTime (startedAt: number): boolean {
    return this.#settings.clock() < startedAt + TRANSACTION_SECONDS
  }

  #open (request: FastifyRequest, value: string): Transaction | undefined {
    const opened = this.#seal.open(value, request.log)
    return opened && unpackTransaction(opened.content)
  }

  /** What does not open has no time: it is the first to go. */
  #othersIn (request: FastifyRequest): Array<{ cookie: [name: string, value: string], startedAt: number }> {
    const length = this.#prefix.length + NAMED_BY
    return cookiesOf(request, (name) => name.length === length && name.startsWith(this.#prefix))
      .map((cookie) => ({ cookie, startedAt: this.#open(request, cookie[1])?.startedAt ?? 0 }))
  }

  #sessionIn (request: FastifyRequest): Array<[name: string, value: string]> {
    const { cookieName } = this.#settings.session
    return cookiesOf(request, (name) => name === cookieName || name.startsWith(`${cookieName}.`))
  }

  #delete (reply: FastifyReply, name: string): void {
    setCookie(reply, stringifySetCookie(name, '', { ...this.#attributes, maxAge: 0 }))
  }
}

/** What the names of these cookies begin with. */
export function transactionPrefix (provider: string, session: CheckedOptions['session']): string {
  return `${ownPrefix(provider, session)}login-`
}

/** In a Cookie header. */
function bytesOf (cookies: Array<[name: string, value: string]>): number {
  return cookies.reduce((sum, [name, value]) => sum + name.length + value.length + 3, 0)
}
