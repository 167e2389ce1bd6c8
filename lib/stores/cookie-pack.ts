import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { isRecord, type TokenSet } from '../token-set.ts'

/** What is inflated is never larger, whatever it says: some ten times what fits into cookies. */
const MAX_INFLATED_BYTES = 262_144

/** A JWT as what its segments say, or any other token as it is. */
type PackedToken = string | readonly [header: string, payload: string, signature: string]

/**
 * A token set in fewer characters. JWTs are most of a session, and base64 hides from the compression what they have in
 * common: so their segments are decoded, where encoding them again gives the same bytes.
 */
export function pack (tokens: TokenSet): string {
  return deflateRawSync(JSON.stringify(withTokens(tokens, packToken))).toString('base64url')
}

/** `undefined` for whatever has not been packed by `pack`. */
export function unpack (packed: string): TokenSet | undefined {
  try {
    const json = inflateRawSync(Buffer.from(packed, 'base64url'), { maxOutputLength: MAX_INFLATED_BYTES }).toString()
    const tokens: unknown = JSON.parse(json)
    return isPacked(tokens) ? withTokens(tokens, unpackToken) : undefined
  } catch {
    return undefined
  }
}

type PackedTokenSet<Token> = Omit<TokenSet, 'accessTokens' | 'refreshToken' | 'idToken'> & {
  readonly accessTokens: ReadonlyArray<Omit<TokenSet['accessTokens'][number], 'accessToken'> & { readonly accessToken: Token }>
  readonly refreshToken?: Token
  readonly idToken?: Token
}

function withTokens<From, To> (tokens: PackedTokenSet<From>, change: (token: From) => To): PackedTokenSet<To> {
  const { accessTokens, refreshToken, idToken, ...rest } = tokens
  return {
    ...rest,
    accessTokens: accessTokens.map((token) => ({ ...token, accessToken: change(token.accessToken) })),
    ...(refreshToken !== undefined && { refreshToken: change(refreshToken) }),
    ...(idToken !== undefined && { idToken: change(idToken) })
  }
}

function packToken (token: string): PackedToken {
  const [header, payload, signature, ...more] = token.split('.')
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0) return token
  const packed = [decode(header), decode(payload), signature] as const
  return unpackToken(packed) === token ? packed : token
}

function unpackToken (token: PackedToken): string {
  if (typeof token === 'string') return token
  const [header, payload, signature] = token
  return `${encode(header)}.${encode(payload)}.${signature}`
}

function decode (segment: string): string {
  return Buffer.from(segment, 'base64url').toString()
}

function encode (text: string): string {
  return Buffer.from(text).toString('base64url')
}

function isPacked (tokens: unknown): tokens is PackedTokenSet<PackedToken> {
  return isRecord(tokens) && Array.isArray(tokens.accessTokens)
}
