import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { test } from 'tap'
import { CookieChunks } from '../../../lib/stores/cookie/chunks.ts'
import { dictionary } from '../../../lib/stores/cookie/dictionary.ts'
import { pack, unpack } from '../../../lib/stores/cookie/pack.ts'
import type { TokenSet } from '../../../lib/tokens/token-set.ts'

const base64url = (text: string) => Buffer.from(text).toString('base64url')
const segment = fc.oneof(
  fc.json().map(base64url),
  fc.string({ unit: 'binary' }).map(base64url),
  fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64url')),
  // What decoders bear with, and no encoder writes: padding, the other alphabet, stray bits, line ends.
  fc.constantFrom('', 'e30', 'e30=', 'e31', 'e+/=', 'e-_', 'e30\n', '%7B%7D', '{}')
)
const token = fc.oneof(
  fc.array(segment, { minLength: 1, maxLength: 6 }).map((segments) => segments.join('.')),
  fc.tuple(fc.json().map(base64url), fc.json().map(base64url), fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64url'))).map((jwt) => jwt.join('.')),
  fc.string({ unit: 'binary' })
)
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined })
const accessToken = fc.record({
  accessToken: token,
  tokenType: fc.constantFrom('Bearer' as const, 'DPoP' as const),
  issuedAt: fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }),
  generation: fc.nat(),
  expiresAt: optional(fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 })),
  scope: optional(fc.string()),
  requestedScope: optional(fc.string()),
  resource: optional(fc.webUrl())
})
const tokenSet = fc.record({
  sessionId: fc.uuid(),
  generation: fc.nat(),
  startedAt: fc.nat(),
  accessTokens: fc.array(accessToken, { minLength: 1, maxLength: 4 }),
  refreshToken: optional(token),
  idToken: optional(token)
})
/** As a store keeps it: plain JSON, in which nothing is `undefined`. */
const asJson = (tokens: object): TokenSet => JSON.parse(JSON.stringify(tokens))

test('any token set comes out as it went in, JWT or not: 10,000 random ones', async (t) => {
  const changed: TokenSet[] = []
  fc.assert(fc.property(tokenSet.map(asJson), (tokens) => {
    if (!isDeepStrictEqual(unpack(pack(tokens))?.tokens, tokens)) changed.push(tokens)
    return changed.length === 0
  }), { numRuns: 10_000 })
  t.strictSame(changed, [])
})

test('the dictionary is that of this version of the format', async (t) => {
  t.equal(createHash('sha256').update(dictionary).digest('hex'), 'c0e3862d0feda34a4b63c05dc4104442fa57c5d442e07681e1694527053971a3', 'where it has changed, raise the versions that it names')
})

test('what is no packed token set is none, and what would grow beyond all bounds is not inflated', async (t) => {
  const packed = (value: unknown) => {
    const compressed = deflateRawSync(JSON.stringify(value))
    return Buffer.concat([Buffer.from([0, 0, compressed.length >> 8, compressed.length]), compressed]).toString('base64url')
  }
  for (const text of ['', 'x', 'AAAA', packed(null), packed([]), packed({}), packed({ accessTokens: 'x' }), pack(asJson({ accessTokens: [] })).slice(1)]) {
    t.equal(unpack(text), undefined, text)
  }
  const large = (length: number) => packed({ accessTokens: [], refreshToken: ['.'.repeat(length)] })
  t.match(unpack(large(200_000))?.tokens, { accessTokens: [] })
  t.equal(unpack(large(300_000)), undefined)
  fc.assert(fc.property(fc.base64String(), (text) => { unpack(text) }), { numRuns: 10_000 })
})

test('R51 whatever the length of a session, no cookie is larger than 4096 bytes with its name, and all of them together are the session again', async (t) => {
  for (const name of ['t', '__Host-tokens', `__Host-${'provider'.repeat(8)}-tokens`]) {
    const chunks = new CookieChunks(name, 9 * 4096)
    const counts = new Set<number>()
    for (let length = 1; length < 36_000; length = length < 100 ? length + 1 : length + 13) {
      const text = `${length}.`.padEnd(length, 'abcdefghij').slice(0, length)
      const cookies = chunks.split(text)
      counts.add(cookies.length)
      if (cookies.some(([name, value]) => name.length + value.length > 4096 || value === '')) t.fail(`a session of ${length} characters has a cookie that browsers drop`)
      if (chunks.read(cookies.map((cookie) => cookie.join('=')).join('; ')).texts.map(({ text }) => text).join() !== text) t.fail(`a session of ${length} characters is another one when it comes back`)
    }
    t.strictSame([...counts], [1, 2, 3, 4, 5, 6, 7, 8, 9], name)
  }
})

test('a cookie is filled to the last byte before there is a second one', async (t) => {
  const chunks = new CookieChunks('__Host-tokens', 8000)
  const sizes = (length: number) => chunks.split('x'.repeat(length)).map(([name, value]) => name.length + value.length)
  t.strictSame(sizes(4096 - '__Host-tokens'.length - '1.'.length), [4096])
  t.match(sizes(4096 - '__Host-tokens'.length - '1.'.length + 1), [4096, Number])
  t.strictSame(sizes(2 * (4096 - '__Host-tokens.0'.length) - '2.'.length), [4096, 4096])
  t.equal(sizes(2 * (4096 - '__Host-tokens.0'.length) - '2.'.length + 1).length, 3)
})
