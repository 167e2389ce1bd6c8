// Packages that snippets import and that are not installed here (those that bench/ measures are installed there; test/consumer.test.ts installs Vitest), with what the snippets use of them.

declare module 'pg' {
  export class Pool {
    query (sql: string, values?: unknown[]): Promise<{ rows: Array<Record<string, string>> }>
    end (): Promise<void>
  }
}

declare module 'express' {
  import type { AccessToken } from 'express-openid-connect'

  interface Request { readonly oidc: { accessToken?: AccessToken } }
  interface Response { json (body: unknown): void }
  export type Handler = (request: Request, response: Response) => unknown
  export default function express (): { use (handler: Handler): void, get (path: string, ...handlers: Handler[]): void }
}

declare module 'express-openid-connect' {
  import type { Handler } from 'express'

  export interface AccessToken { access_token: string, isExpired: () => boolean, refresh (): Promise<AccessToken> }
  interface Settings {
    issuerBaseURL?: string
    baseURL?: string
    clientID?: string
    clientSecret?: string
    secret?: string
    authRequired?: boolean
    idpLogout?: boolean
    authorizationParams?: { response_type?: string, scope?: string }
  }
  const openidConnect: { auth (settings: Settings): Handler, requiresAuth (): Handler }
  export default openidConnect
}

declare module 'vitest' {
  export function test (name: string, run: () => Promise<void>): void
  export function beforeAll (run: () => Promise<void>): void
  export function afterAll (run: () => Promise<void>): void
  export function expect (actual: unknown): { toBe (expected: unknown): void, toMatchObject (expected: object): void }
}
