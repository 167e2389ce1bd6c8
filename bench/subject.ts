import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AuthorizationServer } from '../test/authorization-server/authorization-server.ts'

/** A system under test: an app with a login of its own, and `GET /token`, which answers `{ token }`, the access token. */
export interface Subject {
  readonly name: string
  /** Whose versions are printed. */
  readonly packages: string[]
  /** Where a browser starts the login. */
  readonly loginPath: string
  /** It refuses an issuer that is plain http, and has no switch for that. */
  readonly wantsHttps?: boolean
  start (server: AuthorizationServer): Promise<RunningSubject>
}

export interface RunningSubject {
  readonly origin: string
  close (): Promise<void>
}

/** Of every login: what gives a refresh token and an id_token. */
export const scope = ['openid', 'offline_access']

/** For apps that must know their own address before they listen. */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address !== 'object') throw new Error('There is no free port')
  return address.port
}
