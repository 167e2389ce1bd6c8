import type { Dispatcher } from 'undici'
import { InvalidParameters } from '../errors.ts'

type Headers = Dispatcher.DispatchOptions['headers']

/**
 * The headers of a call with those that the token needs, in the form in which they came.
 *
 * @throws FST_TOKEN_INVALID_PARAMETERS where the caller has given one of them: it would be lost, and somebody relies on it.
 */
export function withCredentials (headers: Headers, credentials: Readonly<Record<string, string>>): Headers {
  if (headers === undefined || headers === null) return credentials
  if (Array.isArray(headers)) {
    checkNames(headers.filter((_, index) => index % 2 === 0))
    return [...headers, ...Object.entries(credentials).flat()]
  }
  if (Symbol.iterator in headers) {
    const entries = [...headers]
    checkNames(entries.map(([name]) => name))
    return new Map([...entries, ...Object.entries(credentials)])
  }
  checkNames(Object.keys(headers))
  return { ...headers, ...credentials }
}

function checkNames (names: string[]): void {
  const own = names.find((name) => (name.length === 13 || name.length === 4) && /^(authorization|dpop)$/i.test(name))
  if (own !== undefined) throw new InvalidParameters(`the headers have ${own} already, and this API gets its token here. Leave it out, or declare the API with token: 'none'`)
}
