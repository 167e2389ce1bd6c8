import { randomBytes, randomUUID } from 'node:crypto'
import type { TokenSet } from '../tokens/token-set.ts'

/** A token set with every field there is, frozen in all its depth: a store changes nothing of what it is given. */
export function fullTokenSet (): TokenSet {
  const now = Math.floor(Date.now() / 1000)
  return freeze({
    sessionId: randomUUID(),
    generation: 0,
    startedAt: now,
    accessTokens: [
      { accessToken: token(), tokenType: 'Bearer', issuedAt: now + 0.25, generation: 0, expiresAt: now + 300.5, scope: 'openid offline_access' },
      { accessToken: token(), tokenType: 'DPoP', issuedAt: now, generation: 0, expiresAt: now, scope: 'a', requestedScope: 'a b', resource: 'https://api.example.com/über?a="b"' },
      { accessToken: `${token()}~+/ "quoted" \\ ✓`, tokenType: 'Bearer', issuedAt: now, generation: 0, resource: 'urn:example' }
    ],
    refreshToken: token(),
    idToken: `${token()}.${token()}.${token()}`,
    dpopKey: { kty: 'EC', crv: 'P-256', x: token(), y: token(), d: token() },
    identity: { iss: 'https://idp.example.com', sub: 'alice', aud: ['web', 'api'], azp: 'web' },
    claims: { sub: 'alice', name: 'Älice "A." Ångström', sid: 'a session', iat: now, address: { locality: 'Zürich' } }
  })
}

/** A login with as little as an answer may hold; its access token of so many bytes, which nothing can pack. */
export function smallTokenSet (bytes = 24): TokenSet {
  const now = Math.floor(Date.now() / 1000)
  return freeze({
    sessionId: randomUUID(),
    generation: 0,
    startedAt: now,
    accessTokens: [{ accessToken: token(bytes), tokenType: 'Bearer', issuedAt: now, generation: 0 }]
  })
}

/** What a refresh makes of a token set, and of that, as often as it takes to this generation. */
export function successorOf (tokens: TokenSet, generation = tokens.generation + 1): TokenSet {
  const now = Math.floor(Date.now() / 1000)
  return freeze({
    ...tokens,
    generation,
    accessTokens: [{ accessToken: token(), tokenType: 'Bearer', issuedAt: now, generation, expiresAt: now + 300 }],
    refreshToken: token()
  })
}

function token (bytes = 24): string {
  return randomBytes(bytes).toString('base64url')
}

function freeze<Value extends object> (value: Value): Value {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) freeze(member)
  return Object.freeze(value)
}
