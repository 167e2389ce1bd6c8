import { randomBytes, randomUUID } from 'node:crypto'
import { OAuthError } from './oauth-error.ts'
import type { TestProviderSettings } from './settings.ts'

/** All the tokens that come of one login: they die together. */
export interface Family {
  readonly id: string
  readonly sub: string
  readonly scope: string
  /** The resources that the login has named (RFC 8707 §2.1); none: any. */
  readonly resources: readonly string[]
  /** Seconds since the epoch. */
  readonly authTime: number
  /** The thumbprint of the key that its refresh tokens are bound to (RFC 9449 §5). */
  readonly jkt?: string | undefined
  alive: boolean
  newestRefreshToken: string
}

/** What an access token stands for. */
export interface Access {
  family: Family
  scope: string
  resource?: string | undefined
  /** The thumbprint of the key that the token is bound to. */
  jkt?: string | undefined
  /** Seconds since the epoch. */
  expiresAt: number
}

interface RefreshToken { family: Family, spent?: { at: number, successor: string, reuses: number } }

export class Families {
  readonly #settings: TestProviderSettings
  readonly #byId = new Map<string, Family>()
  readonly #refreshTokens = new Map<string, RefreshToken>()
  readonly #accessTokens = new Map<string, Access>()

  constructor (settings: TestProviderSettings) {
    this.#settings = settings
  }

  start (sub: string, scope: string, { jkt, resources = [] }: { jkt?: string | undefined, resources?: string[] } = {}): Family {
    const family: Family = {
      id: randomUUID(),
      sub,
      scope,
      resources,
      authTime: Math.floor(this.#settings.clock()),
      alive: true,
      newestRefreshToken: '',
      ...this.#bindsRefreshTokens() && { jkt }
    }
    this.#byId.set(family.id, family)
    this.#addRefreshToken(family)
    return family
  }

  /** The family that a refresh token may still speak for. Reuse of a spent one kills it (RFC 9700 §4.14.2). */
  claim (refreshToken: string, jkt?: string): Family {
    const known = this.#refreshTokens.get(refreshToken)
    if (!known?.family.alive) throw new OAuthError('invalid_grant', 'the refresh token is unknown or revoked')
    if (known.family.jkt !== undefined && known.family.jkt !== jkt) throw new OAuthError('invalid_grant', 'the refresh token is bound to another key')
    if (known.spent && !this.#inGrace(known.spent)) {
      known.family.alive = false
      throw new OAuthError('invalid_grant', 'the refresh token was used before: all of its family is revoked')
    }
    return known.family
  }

  /** Spends a claimed refresh token: the one to answer with, if any. */
  rotate (refreshToken: string): string | undefined {
    const known = this.#refreshTokens.get(refreshToken)
    if (!known || this.#settings.rotation === 'none') return undefined
    if (this.#settings.rotation === 'same') return refreshToken
    if (known.spent) known.spent.reuses++
    else known.spent = { at: this.#settings.clock(), successor: this.#addRefreshToken(known.family), reuses: 0 }
    return known.spent.successor
  }

  addAccessToken (token: string, access: Access): void {
    this.#accessTokens.set(token, access)
  }

  /** What a living access token stands for. */
  access (token: string): Access | null {
    const access = this.#accessTokens.get(token)
    return access?.family.alive && access.expiresAt > this.#settings.clock() ? access : null
  }

  dropAccessToken (token: string): void {
    this.#accessTokens.delete(token)
  }

  /** Revokes no more than must be: a spent refresh token speaks for nobody, and an access token for itself only (RFC 7009 §2.1). */
  revoke (token: string): void {
    const known = this.#refreshTokens.get(token)
    if (known !== undefined && known.spent === undefined) known.family.alive = false
    const access = this.#accessTokens.get(token)
    if (access !== undefined) access.expiresAt = 0
  }

  /** The family of a refresh token, spent or not, of an access token, or by its id. */
  find (tokenOrId: string): Family | undefined {
    return this.#byId.get(tokenOrId) ?? (this.#refreshTokens.get(tokenOrId) ?? this.#accessTokens.get(tokenOrId))?.family
  }

  all (): Family[] {
    return [...this.#byId.values()]
  }

  tokens (): string[] {
    return [...this.#refreshTokens.keys(), ...this.#accessTokens.keys()]
  }

  #addRefreshToken (family: Family): string {
    family.newestRefreshToken = randomBytes(this.#settings.tokenBytes).toString('base64url')
    this.#refreshTokens.set(family.newestRefreshToken, { family })
    return family.newestRefreshToken
  }

  /** RFC 9449 §5: those of public clients, whom nothing else holds to them. */
  #bindsRefreshTokens (): boolean {
    return this.#settings.bindRefreshTokens || this.#settings.clientAuthentication.every((method) => method === 'none')
  }

  #inGrace ({ at, successor, reuses }: NonNullable<RefreshToken['spent']>): boolean {
    const { grace, clock } = this.#settings
    if (!grace || this.#refreshTokens.get(successor)?.spent) return false
    return reuses < (grace.uses ?? Infinity) && clock() - at <= (grace.seconds ?? Infinity)
  }
}
