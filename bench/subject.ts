import type { Settings } from '../test/support/authorization-server/settings.ts'

/** Where a subject logs in, and as which client. */
export interface Issuer {
  readonly issuer: string
  readonly settings: Pick<Settings, 'clientId' | 'clientSecret'>
  /** For who keeps sessions there. */
  readonly redisUrl?: string
}

/** A system under test: an app with a login of its own, and `GET /token`, which answers `{ token }`, the access token. */
export interface Subject {
  readonly name: string
  /** Whose versions are printed. */
  readonly packages: string[]
  /** Where a browser starts the login. */
  readonly loginPath: string
  /** It refuses an issuer that is plain http, and has no switch for that. */
  readonly wantsHttps?: boolean
  start (issuer: Issuer): Promise<RunningSubject>
}

/** A system without a login: `GET /login`, if it has one, puts these tokens into its session, and `GET /token` answers as above. */
export interface SavedSubject {
  readonly name: string
  readonly packages: string[]
  start (tokens: SavedTokens): Promise<RunningSubject>
}

export interface SavedTokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token: string
}

export interface RunningSubject {
  readonly origin: string
  close (): Promise<void>
}

/** Of every login: what gives a refresh token and an id_token. */
export const scope = ['openid', 'offline_access']
