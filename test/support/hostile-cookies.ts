import fc from 'fast-check'

/** What Node.js takes of all headers of a request, less the others. */
const MOST = 15_000

/** Cookie headers of all kinds, many of them with parts of this value of this cookie. */
export function headersLike (name: string, value: string): fc.Arbitrary<string> {
  const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 200 })
  const names = fc.oneof(fc.constantFrom(name, `${name}.0`, `${name}.1`, `x${name}`, `${name} `, '__proto__', 'constructor', ''), bytes)
  const values = fc.oneof(
    bytes,
    fc.base64String({ maxLength: 200 }),
    fc.tuple(fc.constantFrom('', '1.', '2.', '9.'), fc.nat(value.length), fc.nat(value.length)).map(([count, from, to]) => count + value.slice(from, to)),
    fc.tuple(fc.nat(value.length), bytes).map(([at, junk]) => value.slice(0, at) + junk + value.slice(at + 1)),
    fc.tuple(fc.constantFrom('1.0.abcd', '2.0.abcd', '9.'), fc.base64String({ minLength: 24 }), fc.base64String({ minLength: 32, maxLength: 32 })).map((parts) => parts.join('.'))
  )
  return fc.oneof(bytes, fc.array(fc.tuple(names, values), { maxLength: 4 }).map((pairs) => pairs.map((pair) => pair.join('=')).join('; ')))
}

/** Headers that are made to cost: as long as they can be, of what a parser, a decoder or a seal works hardest at. */
export function costlyHeaders (name: string, value: string): Record<string, string> {
  const [, , keyId] = value.split('.')
  const filled = (part: (index: number) => string): string => {
    let header = ''
    for (let index = 0; header.length + part(index).length <= MOST; index++) header += part(index)
    return header
  }
  const sealed = (length: number) => `0.${keyId}.${'A'.repeat(length)}.${'B'.repeat(32)}`
  return {
    'escapes that are none': filled((index) => `${index % 10}=%;`),
    'escapes that are some': filled(() => 'a=%20%C3%BC;'),
    'cookies without a name or a value': filled(() => ';'),
    'names alone': filled(() => 'a;'),
    'nothing but spaces': filled(() => ' '),
    'quotes that do not end': filled(() => 'a="'),
    'our name again and again': filled(() => name),
    'our name as a value': filled(() => `a=${name};`),
    'our name with spaces before it': filled(() => `;       ${name}`),
    'our cookies, each of a few characters': filled(() => `${name}=1.x;`),
    'our cookies, each of what may open': filled(() => `${name}=1.${sealed(24)};`),
    'our cookies, each half a session long': filled(() => `${name}=1.${sealed(1700)};`),
    'our cookie, as long as it can be': `${name}=1.${sealed(MOST - 100)}`,
    'our cookie of anything but base64': `${name}=1.0.${keyId}.${'A'.repeat(MOST - 200)}!.${'B'.repeat(32)}`,
    'chunks that go together in all ways': filled((index) => `${name}.${index % 9}=9.${'A'.repeat(100)};`),
    'first chunks without others': filled(() => `${name}.0=9.${'A'.repeat(60)};`),
    'chunks of one whole that does not open': Array.from({ length: 9 }, (_, index) => `${name}.${index}=${index === 0 ? `9.0.${keyId}.` : ''}${'A'.repeat(1600)}${index === 8 ? `.${'B'.repeat(32)}` : ''}`).join('; '),
    'a genuine session with another end, eight times': Array.from({ length: 8 }, (_, index) => `${name}=${value.slice(0, -1)}${index}`).join('; ').slice(0, MOST)
  }
}
