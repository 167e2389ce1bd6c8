/** The cookies of one browser, as far as a test needs them: whatever their path and domain, they are sent. */
export class CookieJar {
  readonly #cookies: Map<string, string>
  #isSecure = false

  constructor (cookies: Iterable<readonly [string, string]> = []) {
    this.#cookies = new Map(cookies)
  }

  /** As they are sent; '' where there are none. */
  get header (): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  /** Whether there was one that browsers send by https only. */
  get isSecure (): boolean {
    return this.#isSecure
  }

  copy (): CookieJar {
    return new CookieJar(this.#cookies)
  }

  /** What a response says of them. */
  keep (setCookies: string | string[] = []): void {
    for (const setCookie of [setCookies].flat()) this.#keep(setCookie)
  }

  #keep (setCookie: string): void {
    const [pair = '', ...attributes] = setCookie.split(/; */)
    const name = pair.slice(0, pair.indexOf('='))
    if (attributes.some((attribute) => attribute.toLowerCase() === 'secure')) this.#isSecure = true
    if (attributes.some(isOver)) this.#cookies.delete(name)
    else this.#cookies.set(name, pair.slice(name.length + 1))
  }
}

/** Whether an attribute deletes the cookie (RFC 6265bis §5.6). */
function isOver (attribute: string): boolean {
  const [name = '', value = ''] = attribute.split('=')
  switch (name.toLowerCase()) {
    case 'max-age': return Number(value) <= 0
    case 'expires': return Date.parse(value) <= Date.now()
    default: return false
  }
}
