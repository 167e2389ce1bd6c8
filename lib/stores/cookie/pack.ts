import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { isRecord } from '../../tokens/record.ts'
import type { TokenSet } from '../../tokens/token-set.ts'
import { dictionary } from './dictionary.ts'

/** What is inflated is never larger, whatever it says: some ten times what fits into cookies. */
const MAX_INFLATED_BYTES = 262_144

/** Of inflating: most sessions are done with one, and a larger one costs more than the work. */
const CHUNK_BYTES = 8192

/** Before the two parts: how long the first one is. */
const HEAD_BYTES = 4

/** What stands between two dots of a token: decoded JSON, the number of bytes that it is in the second part, or the text as it is. */
type Segment = readonly [json: string] | number | string

/**
 * A token set in fewer characters. JWTs are most of a session, and base64 hides from the compression what they have in
 * common; signatures and random tokens do not become smaller by it. So the segments of tokens are decoded, where encoding
 * them again gives the same characters: what is JSON is compressed with the rest, and what is not follows as bytes.
 */
export function pack (tokens: TokenSet): string {
  const bytes: Buffer[] = []
  const json = JSON.stringify(withTokens(tokens, (token) => token.split('.').map((segment) => packSegment(segment, bytes))))
  const compressed = deflateRawSync(json, { dictionary })
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(compressed.length)
  return Buffer.concat([head, compressed, ...bytes]).toString('base64url')
}

/** `undefined` for whatever has not been packed by `pack`. */
export function unpack (packed: string): TokenSet | undefined {
  try {
    const buffer = Buffer.from(packed, 'base64url')
    const end = HEAD_BYTES + buffer.readUInt32BE()
    const json = inflateRawSync(buffer.subarray(HEAD_BYTES, end), { dictionary, maxOutputLength: MAX_INFLATED_BYTES, chunkSize: CHUNK_BYTES }).toString()
    const tokens: unknown = JSON.parse(json)
    if (!isPacked(tokens)) return undefined
    const nextBytes = readerOf(buffer, end)
    return withTokens(tokens, (segments) => segments.map((segment) => {
      if (typeof segment === 'string') return segment
      return typeof segment === 'number' ? nextBytes(segment) : encode(segment[0])
    }).join('.'))
  } catch {
    return undefined
  }
}

type PackedTokenSet<Token> = Omit<TokenSet, 'accessTokens' | 'refreshToken' | 'idToken'> & {
  readonly accessTokens: ReadonlyArray<Omit<TokenSet['accessTokens'][number], 'accessToken'> & { readonly accessToken: Token }>
  readonly refreshToken?: Token
  readonly idToken?: Token
}

/** In the same order each time: the bytes follow one another in it. */
function withTokens<From, To> (tokens: PackedTokenSet<From>, change: (token: From) => To): PackedTokenSet<To> {
  const { accessTokens, refreshToken, idToken, ...rest } = tokens
  return {
    ...rest,
    accessTokens: accessTokens.map((token) => ({ ...token, accessToken: change(token.accessToken) })),
    ...(refreshToken !== undefined && { refreshToken: change(refreshToken) }),
    ...(idToken !== undefined && { idToken: change(idToken) })
  }
}

/** Puts what is only bytes behind the others. */
function packSegment (segment: string, bytes: Buffer[]): Segment {
  const decoded = Buffer.from(segment, 'base64url')
  if (segment.startsWith('ey')) {
    const json = decoded.toString()
    return encode(json) === segment ? [json] : segment
  }
  if (decoded.toString('base64url') !== segment) return segment
  bytes.push(decoded)
  return decoded.length
}

/** Gives, in base64url, so many bytes after those that it has given before. */
function readerOf (buffer: Buffer, start: number): (length: number) => string {
  let end = start
  return (length) => {
    const begin = end
    end += length
    return buffer.toString('base64url', begin, end)
  }
}

function encode (text: string): string {
  return Buffer.from(text).toString('base64url')
}

function isPacked (tokens: unknown): tokens is PackedTokenSet<readonly Segment[]> {
  return isRecord(tokens) && Array.isArray(tokens.accessTokens)
}
