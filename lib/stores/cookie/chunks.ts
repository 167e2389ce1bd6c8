import { type Cookie, cookiesNamed } from './cookie-header.ts'

/** What browsers keep of a cookie, name and value together; what is larger they drop without a word (RFC 6265bis §5.6). */
const MAX_COOKIE_BYTES = 4096

/** How many there are stands before the text, in one digit. */
const MAX_CHUNKS = 9

/** That are worth to be tried. Cookies of one name come twice where they have two paths or domains. */
const MAX_TEXTS = 8

/** One text, and the names of the cookies that it came in. */
export interface ReceivedText {
  readonly text: string
  readonly names: readonly string[]
}

/** What a Cookie header holds of ours. */
export interface Received {
  /** All of it, to the character. */
  readonly cookies: readonly Cookie[]
  /** The texts that are whole, as far as can be seen from outside: what is mixed of two does not open. Left-over chunks are no part of them. */
  readonly texts: readonly ReceivedText[]
}

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

  read (header: string): Received {
    const cookies = cookiesNamed(header, this.#name)
    const texts = cookies.flatMap(({ name, value }) => {
      if (name === this.#name) return value.startsWith('1.') ? [{ text: value.slice(2), names: [name] }] : []
      return name === this.#chunkNames[0] ? this.#join(value, cookies) : []
    })
    return { cookies, texts: texts.length > MAX_TEXTS ? texts.slice(0, MAX_TEXTS) : texts }
  }

  /** All that a first chunk can be the beginning of. */
  #join (first: string, cookies: readonly Cookie[]): ReceivedText[] {
    const count = Number(first.charAt(0))
    if (!(count > 1)) return []
    const names = this.#chunkNames.slice(0, count)
    let wholes = [first.slice(2)]
    for (const wanted of names.slice(1)) {
      const chunks = cookies.filter(({ name }) => name === wanted)
      wholes = wholes.flatMap((whole) => chunks.map(({ value }) => whole + value)).slice(0, MAX_TEXTS)
    }
    return wholes.map((text) => ({ text, names }))
  }
}
