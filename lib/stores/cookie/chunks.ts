/** What browsers keep of a cookie, name and value together; what is larger they drop without a word (RFC 6265bis §5.6). */
const MAX_COOKIE_BYTES = 4096

/** How many there are stands before the text, in one digit. */
const MAX_CHUNKS = 9

export type Cookies = Readonly<Record<string, string | undefined>>

/** One text in as many cookies as it takes: `<name>` where one is enough, else `<name>.0`, `<name>.1`… */
export class CookieChunks {
  readonly #name: string
  readonly #chunkNames: readonly string[]
  /** The names of all cookies that a session of this budget can have had. */
  readonly names: readonly string[]

  /** @param maxBytes - of all cookies together. */
  constructor (name: string, maxBytes: number) {
    this.#name = name
    this.#chunkNames = Array.from({ length: MAX_CHUNKS }, (_, index) => `${name}.${index}`)
    const most = Math.ceil(maxBytes / MAX_COOKIE_BYTES)
    this.names = [name, ...(most > 1 ? this.#chunkNames.slice(0, most) : [])]
  }

  /** Names and values, each small enough for a browser to keep. Far over the budget there are more than are ever read again. */
  split (text: string): Array<[name: string, value: string]> {
    const single = `1.${text}`
    if (this.#name.length + single.length <= MAX_COOKIE_BYTES) return [[this.#name, single]]
    const room = MAX_COOKIE_BYTES - this.#name.length - '.0'.length
    const count = Math.ceil(single.length / room)
    const whole = `${count}.${text}`
    return Array.from({ length: count }, (_, index) => [`${this.#name}.${index}`, whole.slice(index * room, (index + 1) * room)])
  }

  /** The texts that are whole, as far as can be seen from outside: what is mixed of two does not open. Left-over chunks are no part of them. */
  join (cookies: Cookies): string[] {
    const single = cookies[this.#name]
    const count = Number(cookies[`${this.#name}.0`]?.charAt(0))
    const chunks = count > 1 ? this.#chunkNames.slice(0, count).map((name) => cookies[name] ?? '') : []
    return [
      ...(single?.startsWith('1.') ? [single.slice(2)] : []),
      ...(chunks.length > 0 && chunks.every(Boolean) ? [chunks.join('').slice(2)] : [])
    ]
  }

  /** The names of those cookies that are ours, to the character. */
  among (cookies: Cookies): string[] {
    return [this.#name, ...this.#chunkNames].filter((name) => cookies[name])
  }

  /** Whether a cookie of this name is one of ours. */
  has (name: string): boolean {
    return name === this.#name || this.#chunkNames.includes(name)
  }
}
