import { EventEmitter, once } from 'node:events'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import tokenManagement, { type JsonWebKey, type TokenManagementOptions } from '../../lib/index.ts'
import type { AuthorizationServer } from './authorization-server/authorization-server.ts'
import { everythingWithDpop } from './authorization-server/settings.ts'
import { Browser } from './browser.ts'

export const sessionKey = Buffer.alloc(32, 'k').toString('base64')

export interface TestApp {
  readonly app: FastifyInstance
  readonly origin: string
  /** Everything that was logged, as one text a line: to look for secrets in, too. */
  readonly log: string[]
  /** Settles when a line is logged, or has been, that matches. */
  logged (pattern: RegExp): Promise<string>
  /** Seconds since the epoch, moved by hand. */
  readonly clock: { now: number }
  /** A browser with a session whose tokens were just issued: what a login leaves behind. */
  login (issue?: Parameters<AuthorizationServer['issue']>[0]): Promise<Browser>
  /** A browser with a session of these tokens. */
  save (tokens: object): Promise<Browser>
}

export interface TestAppOptions extends Partial<TokenManagementOptions> {
  readonly fastify?: FastifyServerOptions
  /** Default: any that is free. */
  readonly port?: number
  /** Before the plugin is registered: decorators, other plugins. */
  readonly before?: (app: FastifyInstance) => unknown
  /** After it, before the app listens: routes. */
  readonly routes?: (app: FastifyInstance) => unknown
}

/**
 * An app of the plugin's user on a real socket, against an authorization server. It has `GET /token` (`{ token }`, the
 * access token), `GET /optional`, and `POST /save`, which stores the token response in its body,
 * and the key that came with it. Where the server requires DPoP, the app has it on.
 */
export async function startApp (t: Test, server: AuthorizationServer, { fastify = {}, port = 0, before, routes, ...options }: TestAppOptions = {}): Promise<TestApp> {
  const log: string[] = []
  const lines = new EventEmitter()
  const clock = { now: Date.now() / 1000 }
  const app = Fastify({ logger: { level: 'debug', stream: { write } }, forceCloseConnections: true, ...fastify })
  t.teardown(async () => { await app.close() })
  await before?.(app)
  await app.register(tokenManagement, {
    issuer: server.issuer,
    clientId: server.settings.clientId,
    clientSecret: server.settings.clientSecret,
    session: { key: sessionKey },
    clock: () => clock.now,
    dpop: server.settings.dpop,
    ...options
  })
  app.get('/token', async (request) => ({ token: await request.accessToken() }))
  app.get('/optional', async (request) => ({ token: await request.accessToken({ optional: true }) }))
  app.post<{ Body: { access_token: string, token_type: string, dpopKey?: JsonWebKey } }>('/save', async (request) => {
    const { dpopKey, ...response } = request.body
    await request.tokens.save(response, { ...dpopKey && { dpopKey } })
    if (everythingWithDpop && dpopKey) await learnNonce(request)
    return {}
  })

  /** What a login leaves behind in the process beside the session. */
  async function learnNonce (request: FastifyRequest): Promise<void> {
    await request.tokens.dpopProof({ htm: 'POST', htu: server.issuer, nonce: server.nextNonce() })
  }

  await routes?.(app)
  const origin = await app.listen({ port, host: '127.0.0.1' })

  function write (line: string): void {
    log.push(line)
    lines.emit('line')
  }

  async function logged (pattern: RegExp): Promise<string> {
    for (;;) {
      const found = log.find((line) => pattern.test(line))
      if (found !== undefined) return found
      await once(lines, 'line')
    }
  }

  async function login (issue = {}): Promise<Browser> {
    return await save(await server.issue(issue))
  }

  async function save (tokens: object): Promise<Browser> {
    const browser = new Browser(origin)
    const saved = await app.inject({ method: 'POST', url: '/save', payload: tokens })
    if (saved.statusCode !== 200) throw new Error(`The session could not be saved: ${saved.body}`)
    for (const { name, value } of saved.cookies) browser.cookies.set(name, value)
    return browser
  }

  return { app, origin, log, logged, clock, login, save }
}
