import { randomBytes } from 'node:crypto'
import { stringifySetCookie } from 'cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { cookiesNamed } from '../stores/cookie/cookie-header.ts'
import { putCookies } from '../stores/cookie/response-cookies.ts'
import type { TokenStoreSettings } from '../tokens/token-store.ts'

/** 256 bits in base64url. */
const ID = /^[\w-]{43}$/

/** That are worth to be tried. Cookies of one name come twice where they have two paths or domains. */
const MAX_IDS = 4

/** The cookie of a session that is on the server: a random id, and nothing else. */
export class SessionCookie {
  readonly #settings: TokenStoreSettings['session']
  readonly #kStore: symbol

  constructor (settings: TokenStoreSettings['session']) {
    this.#settings = settings
    this.#kStore = Symbol(settings.cookieName)
  }

  newId (): string {
    return randomBytes(32).toString('base64url')
  }

  /** What a request has come with. */
  idsOf (request: FastifyRequest): string[] {
    const ids = this.#received(request).flatMap(({ name, value }) => name === this.#settings.cookieName && ID.test(value) ? [value] : [])
    return [...new Set(ids)].slice(0, MAX_IDS)
  }

  /** For as long as a session can last: the server knows when it is over. */
  put ({ request, reply }: { readonly request: FastifyRequest, readonly reply: FastifyReply }, id: string): void {
    const { cookieName, absoluteDuration } = this.#settings
    putCookies(reply, this.#kStore, [this.#setCookie(cookieName, id, Math.ceil(absoluteDuration)), ...this.#deletions(request, cookieName)])
  }

  delete ({ request, reply }: { readonly request: FastifyRequest, readonly reply: FastifyReply }): void {
    const { cookieName } = this.#settings
    putCookies(reply, this.#kStore, [this.#setCookie(cookieName, '', 0), ...this.#deletions(request, cookieName)])
  }

  /** Of what a session in cookies has left behind, from before there was a store. */
  #deletions (request: FastifyRequest, kept: string): string[] {
    const names = new Set(this.#received(request).map(({ name }) => name).filter((name) => name !== kept))
    return [...names].map((name) => this.#setCookie(name, '', 0))
  }

  #received ({ headers: { cookie = '' } }: FastifyRequest) {
    return cookiesNamed(cookie, this.#settings.cookieName)
  }

  #setCookie (name: string, value: string, maxAge: number): string {
    return stringifySetCookie(name, value, { ...this.#settings.cookie, httpOnly: true, maxAge })
  }
}
