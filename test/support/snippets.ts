import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { TokenManagementOptions } from '../../lib/index.ts'
import { blocksOf } from '../docs/blocks.ts'
import { startAuthorizationServer, type AuthorizationServer } from './authorization-server/authorization-server.ts'
import type { Settings } from './authorization-server/settings.ts'
import { Browser } from './browser.ts'
import { callbackUri, logIn } from './login-flow.ts'
import { sessionKey } from './start-app.ts'

/** The snippets of a page, by the names in the comments before them; each has to have one, but for commands. */
export function snippetsOf (page: string): Map<string, string> {
  const blocks = blocksOf(`docs/${page}`).filter(({ language }) => language !== 'sh')
  return new Map(blocks.map(({ name, line, text }) => {
    if (name === undefined) throw new Error(`docs/${page}:${line}: the snippet needs a name, so that it is run`)
    return [name, text]
  }))
}

/** Writes snippets as files, in the repo, so that what they import is found. */
export function writeSnippets (folder: string, snippets: Iterable<readonly [string, string]>): void {
  for (const [name, text] of snippets) {
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text.replace(/(?<= from |import )'fastify-token-management(?:\/(\w+))?'/g, (_, entry = 'index') => `'${new URL(`../../lib/${entry}.ts`, import.meta.url).href}'`))
  }
}

export interface PageApp {
  readonly app: FastifyInstance
  readonly server: AuthorizationServer
  readonly clock: { now: number }
  /** What the modules of the snippets export, by name. */
  readonly modules: ReadonlyMap<string, unknown>
  readonly origin: string
  /** A browser in which somebody is logged in. */
  enter (user?: string): Promise<Browser>
}

export interface PageAppOptions {
  /** Which snippets are run, in this order; default: all that are TypeScript. */
  readonly run?: readonly string[]
  readonly folder?: string
  readonly options?: Partial<TokenManagementOptions>
  readonly server?: Partial<Settings>
  readonly before?: (app: FastifyInstance, server: AuthorizationServer) => unknown
}

/** An app of the snippets of a page, as they stand: what is given to them is `app` and `options`. */
export async function startPageApp (t: Test, page: string, { run, folder = t.testdir(), options: given, server: settings, before }: PageAppOptions = {}): Promise<PageApp> {
  const clock = { now: Date.now() / 1000 }
  const server = await startAuthorizationServer({ clock: () => clock.now, ...settings })
  t.teardown(() => server.close())
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  const options: TokenManagementOptions = {
    issuer: server.issuer,
    clientId: 'web',
    clientSecret: 'a secret',
    session: { key: sessionKey },
    login: { callbackUri, scope: ['openid', 'offline_access'] },
    clock: () => clock.now,
    ...given
  }
  await before?.(app, server)
  Object.assign(globalThis, { app, options })
  const snippets = snippetsOf(page)
  writeSnippets(folder, snippets)
  const modules = new Map<string, unknown>()
  for (const name of run ?? [...snippets.keys()].filter((name) => name.endsWith('.ts'))) modules.set(name, await import(join(folder, name)))
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })

  async function enter (user = 'alice'): Promise<Browser> {
    server.settings.user = user
    const browser = new Browser(origin)
    const { status } = await logIn(browser)
    if (status !== 303) throw new Error(`Nobody could log in: ${status}`)
    return browser
  }
  return { app, server, clock, modules, origin, enter }
}
