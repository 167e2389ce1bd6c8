import { SessionTooLarge } from '../../errors.ts'
import type { TokenSet } from '../../tokens/token-set.ts'

/**
 * What Set-Cookie may take of a response for the sake of the id_token, which is a hint at logout and nothing else: a
 * stock nginx answers 502 where the headers pass 4 KB.
 */
const MAX_BYTES_WITH_ID_TOKEN = 3500

/** The cookies of one session, as they are sent back, and as they are set with their attributes. */
export interface WrittenCookies {
  readonly names: readonly string[]
  /** Of the Cookie header that they make. */
  readonly requestBytes: number
  readonly setCookies: readonly string[]
}

/**
 * A session within its budget: whole where that is small, else without the id_token. What is still too large is refused.
 *
 * @param maxBytes - of the Cookie header.
 * @throws FST_TOKEN_SESSION_TOO_LARGE with the size of each token.
 */
export function writeWithinBudget (tokens: TokenSet, maxBytes: number, write: (tokens: TokenSet) => WrittenCookies): { written: WrittenCookies, isIdTokenLeftOut: boolean } {
  const whole = write(tokens)
  const isSmall = whole.setCookies.reduce((sum, { length }) => sum + length, 0) <= MAX_BYTES_WITH_ID_TOKEN
  const { idToken, ...others } = tokens
  const isIdTokenLeftOut = idToken !== undefined && !isSmall
  const written = isIdTokenLeftOut ? write(others) : whole
  if (written.requestBytes > maxBytes) throw new SessionTooLarge(written.requestBytes, maxBytes, sizes(tokens))
  return { written, isIdTokenLeftOut }
}

function sizes ({ accessTokens, refreshToken, idToken, dpopKey }: TokenSet): string {
  const parts = [
    ...accessTokens.map(({ accessToken, resource }) => [`access token${resource ? ` for ${resource}` : ''}`, accessToken] as const),
    ['refresh token', refreshToken] as const,
    ['id_token', idToken] as const,
    ['DPoP key', dpopKey && JSON.stringify(dpopKey)] as const
  ]
  return parts.flatMap(([name, token]) => token === undefined ? [] : [`${name} ${token.length}`]).join(', ')
}
