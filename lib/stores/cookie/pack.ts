import { constants } from 'node:buffer'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { isRecord } from '../../tokens/record.ts'
import type { TokenSet } from '../../tokens/token-set.ts'
import { dictionary } from './dictionary.ts'

/** What comes in cookies is never inflated to more, whatever it says: some ten times what fits into them. */
const MAX_INFLATED_BYTES = 262_144

/** For what is kept where there is room for more. */
export const ANY_SIZE = constants.MAX_LENGTH

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
  const { accessTokens, refreshToken, idToken, ...rest } = tokens
  const bytes: Buffer[] = []
  const segmentsOf = (token: string) => token.split('.').map((segment) => packSegment(segment, bytes))
  const json = JSON.stringify({
    ...rest,
    accessTokens: accessTokens.map((token) => ({ ...token, accessToken: segmentsOf(token.accessToken) })),
    ...(refreshToken !== undefined && { refreshToken: segmentsOf(refreshToken) }),
    ...(idToken !== undefined && { idToken: segmentsOf(idToken) })
  })
  const compressed = deflateRawSync(json, { dictionary })
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(compressed.length)
  return Buffer.concat([head, compressed, ...bytes]).toString('base64url')
}

/** What was packed, and how many bytes it takes with all its tokens, about. */
export interface Unpacked {
  readonly tokens: TokenSet
  readonly size: number
}

/**
 * Of its tokens, only those that somebody looks at are put together. `undefined` for whatever has not been packed by `pack`, or is larger.
 *
 * @param maxBytes - once it is inflated.
 */
export function unpack (packed: string, maxBytes = MAX_INFLATED_BYTES): Unpacked | undefined {
  try {
    const buffer = Buffer.from(packed, 'base64url')
    const end = HEAD_BYTES + buffer.readUInt32BE()
    const json = inflateRawSync(buffer.subarray(HEAD_BYTES, end), { dictionary, maxOutputLength: maxBytes, chunkSize: CHUNK_BYTES }).toString()
    const content: unknown = JSON.parse(json)
    if (!isPacked(content)) return undefined
    return { tokens: tokensOf(content, buffer, end), size: Math.ceil((json.length + buffer.length - end) * 4 / 3) }
  } catch {
    return undefined
  }
}

type PackedAccessToken = Omit<TokenSet['accessTokens'][number], 'accessToken'> & { readonly accessToken: readonly Segment[] }
type PackedTokenSet = Omit<TokenSet, 'accessTokens' | 'refreshToken' | 'idToken'> & {
  readonly accessTokens: readonly PackedAccessToken[]
  readonly refreshToken?: readonly Segment[]
  readonly idToken?: readonly Segment[]
}

/** In the order in which they were packed: the bytes follow one another in it. */
function tokensOf ({ accessTokens, refreshToken, idToken, ...rest }: PackedTokenSet, buffer: Buffer, start: number): TokenSet {
  let at = start
  const next = (segments: readonly Segment[]): () => string => {
    const begin = at
    for (const segment of segments) if (typeof segment === 'number') at += segment
    return once(() => join(segments, buffer, begin))
  }
  const tokens = {
    ...rest,
    accessTokens: accessTokens.map(({ accessToken, ...about }) => {
      const text = next(accessToken)
      return { ...about, get accessToken () { return text() } }
    }),
    ...(refreshToken !== undefined && { refreshToken: next(refreshToken)() })
  }
  if (idToken === undefined) return tokens
  const text = next(idToken)
  return { ...tokens, get idToken () { return text() } }
}

/** What it is made of is let go. */
function once (make: () => string): () => string {
  let pending: typeof make | undefined = make
  let text = ''
  return () => {
    if (pending !== undefined) text = pending()
    pending = undefined
    return text
  }
}

function join (segments: readonly Segment[], buffer: Buffer, start: number): string {
  let at = start
  return segments.map((segment) => {
    if (typeof segment === 'string') return segment
    if (typeof segment !== 'number') return encode(segment[0])
    at += segment
    return buffer.toString('base64url', at - segment, at)
  }).join('.')
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

function encode (text: string): string {
  return Buffer.from(text).toString('base64url')
}

function isPacked (content: unknown): content is PackedTokenSet {
  return isRecord(content) && Array.isArray(content.accessTokens)
}
