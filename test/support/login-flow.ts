import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { TokenManagementOptions } from '../../lib/index.ts'
import { startAuthorizationServer, type AuthorizationServer } from './authorization-server/authorization-server.ts'
import type { Settings } from './authorization-server/settings.ts'
import { Browser, type Answer } from './browser.ts'
import { startApp, type TestApp, type TestAppOptions } from './start-app.ts'

/** Registered at the provider; the app listens elsewhere, and only the path of it counts there. */
export const callbackUri = 'http://127.0.0.1:3000/auth/callback'

export interface LoginApp extends TestApp {
  readonly server: AuthorizationServer
  /** A browser that nobody has logged in with yet. */
  readonly browser: Browser
  /** What the app has answered with an error, as thrown. */
  readonly errors: Error[]
}

export interface LoginAppOptions extends Omit<TestAppOptions, 'login'> {
  readonly login?: Partial<NonNullable<TokenManagementOptions['login']>>
  readonly server?: Partial<Settings>
}

/** An app with the plugin's login, and its authorization server. */
export async function startLoginApp (t: Test, { login, server: settings, before, ...options }: LoginAppOptions = {}): Promise<LoginApp> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  const errors: Error[] = []
  const started = await startApp(t, server, {
    login: { callbackUri, scope: ['openid', 'offline_access', 'orders'], ...login },
    before: async (app) => {
      keepErrors(app, errors)
      await before?.(app)
    },
    ...options
  })
  return { ...started, server, browser: new Browser(started.origin), errors }
}

function keepErrors (app: FastifyInstance, errors: Error[]): void {
  app.setErrorHandler<Error>((error, _request, reply) => {
    errors.push(error)
    return reply.send(error)
  })
}

/** Goes to the login of the app: where that sends the browser. */
export async function startLogin (browser: Browser, path = '/auth/login'): Promise<URL> {
  const { status, headers } = await browser.get(path)
  if (status !== 303) throw new Error(`The login was not started: ${status}`)
  return new URL(headers.get('location') ?? '')
}

/** Goes to the provider, where somebody is logged in at once: the path that it sends the browser back to. */
export async function authorize (url: URL): Promise<string> {
  const answer = await fetch(url, { redirect: 'manual' })
  const { pathname, search } = new URL(answer.headers.get('location') ?? '')
  return pathname + search
}

/** All of a login: what the callback answers. */
export async function logIn (browser: Browser, path?: string): Promise<Answer> {
  return await browser.get(await authorize(await startLogin(browser, path)))
}

/** The same path with one parameter of its query changed; `null` leaves it out. */
export function withParameter (path: string, name: string, value: string | null): string {
  const url = new URL(path, callbackUri)
  if (value === null) url.searchParams.delete(name)
  else url.searchParams.set(name, value)
  return url.pathname + url.search
}

/** What a browser holds of logins that are under way: the names of their cookies. */
export function transactionsOf ({ cookies }: Browser): string[] {
  return [...cookies.keys()].filter((name) => /login-[\w-]{8}$/.test(name))
}

/** The sealed login that a browser has started last. */
export function sealedLogin (browser: Browser): string {
  return browser.cookies.get(transactionsOf(browser).at(-1) ?? '') ?? ''
}

/** What a browser does with the answer to a logout by form: it goes on by itself, to where the app sends it then. */
export async function goOn (browser: Browser, { headers }: Answer): Promise<Answer> {
  const [, target] = /^0; url=(.*)$/.exec(headers.get('refresh') ?? '') ?? []
  if (target === undefined) throw new Error('The answer does not go on')
  return await browser.get(target)
}
