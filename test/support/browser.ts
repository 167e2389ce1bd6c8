import { type Dispatcher, request } from 'undici'

/** What a browser does with cookies, and nothing else: it keeps what is set, drops what is deleted, and sends all of it. */
export class Browser {
  readonly origin: string
  readonly cookies: Map<string, string>

  constructor (origin: string, cookies: Iterable<[string, string]> = []) {
    this.origin = origin
    this.cookies = new Map(cookies)
  }

  /** Another tab or a late request: it starts with the cookies of this moment, and what it gets changes nobody else's. */
  clone (): Browser {
    return new Browser(this.origin, this.cookies)
  }

  /** The same browser, whose requests a load balancer hands to another process. */
  through (origin: string): Browser {
    return Object.assign(new Browser(origin), { cookies: this.cookies })
  }

  async get (path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return await this.send('GET', path, headers)
  }

  /** A POST as a page of the app itself sends it. */
  async post (path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return await this.send('POST', path, { 'sec-fetch-site': 'same-origin', ...headers })
  }

  /** As a navigation of an older browser: Node's fetch would say `Sec-Fetch-Mode: cors`, whatever it is told. */
  async send (method: Dispatcher.HttpMethod, path: string, headers: Record<string, string>, body?: string): Promise<Answer> {
    const response = await request(new URL(path, this.origin), {
      method,
      headers: { accept: '*/*', ...(this.cookies.size > 0 && { cookie: this.header }), ...headers },
      ...(body !== undefined && { body })
    })
    const answered = headersOf(response.headers)
    const setCookies = answered.getSetCookie()
    for (const cookie of setCookies) this.#keep(cookie)
    const text = await response.body.text()
    return { status: response.statusCode, headers: answered, setCookies, text, json: parse(text) }
  }

  /** The Cookie header as it is sent. */
  get header (): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  #keep (cookie: string): void {
    const [pair = '', ...attributes] = cookie.split('; ')
    const name = pair.slice(0, pair.indexOf('='))
    if (attributes.includes('Max-Age=0')) this.cookies.delete(name)
    else this.cookies.set(name, pair.slice(name.length + 1))
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly setCookies: string[]
  readonly text: string
  /** `{}` where the body is no JSON object. */
  readonly json: Record<string, unknown>
}

function headersOf (headers: Record<string, string | string[] | undefined>): Headers {
  return new Headers(Object.entries(headers).flatMap(([name, values]) => [values ?? []].flat().map((value): [string, string] => [name, value])))
}

function parse (text: string): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? { ...body } : {}
  } catch {
    return {}
  }
}
