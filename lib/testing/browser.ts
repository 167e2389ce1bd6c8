import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { CookieJar } from './cookie-jar.ts'

/** A Fastify app. */
export interface TestedApp {
  readonly server: object
  ready (): PromiseLike<unknown>
  inject (options: InjectOptions): Promise<LightMyRequestResponse>
}

/** By https, as Secure cookies have it: for apps with `trustProxy`. */
export const byHttps = { 'x-forwarded-proto': 'https' }

/** A browser without pages: what it sends are requests by `app.inject()`. */
export class TestBrowser {
  readonly #app: TestedApp
  readonly #jar = new CookieJar()

  constructor (app: TestedApp) {
    this.#app = app
  }

  /** Its cookies, as the header `Cookie` has them: what they are now, for clients other than `inject`. */
  get cookie (): string {
    return this.#jar.header
  }

  /** `app.inject()` with its cookies; those that the answer sets or deletes are so in the browser. */
  readonly inject = async (options: InjectOptions | string): Promise<LightMyRequestResponse> => {
    const { headers = {}, ...others } = typeof options === 'string' ? { url: options } : options
    const { cookie: own, ...given } = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
    const cookie = [this.cookie, own].filter(Boolean).join('; ')
    const response = await this.#app.inject({ ...others, headers: { ...this.#jar.isSecure && byHttps, ...given, ...cookie !== '' && { cookie } } })
    this.#jar.keep(response.headers['set-cookie'])
    return response
  }
}

/**
 * A browser in which nobody is logged in yet: for tests of the login itself.
 *
 * @example
 * const { inject } = browser(app)
 * const { headers } = await inject('/auth/login')
 * const answer = await fetch(String(headers.location), { redirect: 'manual' }) // the user, at testProvider()
 * const callback = new URL(String(answer.headers.get('location')))
 * await inject(callback.pathname + callback.search)
 */
export function browser (app: TestedApp): TestBrowser {
  return new TestBrowser(app)
}
