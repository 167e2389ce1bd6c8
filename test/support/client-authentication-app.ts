import type { Test } from 'tap'
import { assertNoSecrets } from './scenario.ts'
import type { RequestRecord } from '../../lib/testing/provider/request-log.ts'
import type { Settings } from './authorization-server/settings.ts'
import type { Answer } from './browser.ts'
import { type LoginApp, type LoginAppOptions, logIn, startLoginApp } from './login-flow.ts'
import type { ClientAuthentication } from '../../lib/index.ts'

export interface ClientApp extends LoginApp {
  /** Somebody logs in, and their access token expires. */
  logInAndWait (): Promise<void>
  /** The next refresh of that session: what `GET /token` answers, and what the server saw of it. */
  refresh (): Promise<{ answer: Answer, requests: RequestRecord[] }>
  /** Refreshes, and checks that this fails with that code, that the session is as it was, and that no secret got out. */
  refused (status: number, code: string, requests?: number): Promise<Answer>
}

/** An app whose client authenticates like that, with a login, `app.clientAccessToken('jobs')` at `/jobs`, and one clock for it and its authorization server. */
export async function startClientApp (t: Test, clientAuthentication: ClientAuthentication | undefined, settings: Partial<Settings>, options: LoginAppOptions = {}): Promise<ClientApp> {
  const app = await startLoginApp(t, {
    server: settings,
    ...clientAuthentication && { clientSecret: undefined, clientAuthentication },
    clients: { jobs: {} },
    routes: (app) => app.get('/jobs', { config: { tokens: false } }, async () => ({ token: await app.clientAccessToken('jobs') })),
    ...options
  })
  const { server, browser, clock, log } = app
  clock.now = Math.ceil(clock.now)
  server.settings.clock = () => clock.now

  async function logInAndWait (): Promise<void> {
    t.equal((await logIn(browser)).status, 303)
    clock.now += 301
  }

  async function refresh (): Promise<{ answer: Answer, requests: RequestRecord[] }> {
    const before = server.requestsTo('token').length
    clock.now += 301
    const answer = await browser.get('/token')
    return { answer, requests: server.requestsTo('token').slice(before) }
  }

  async function refused (status: number, code: string, count = 1): Promise<Answer> {
    const { answer, requests } = await refresh()
    t.equal(answer.status, status)
    t.equal(answer.json.code, code)
    t.strictSame(answer.setCookies, [], 'the session is as it was')
    t.equal(requests.length, count)
    t.ok(server.families.every(({ alive }) => alive))
    assertNoSecrets(t, server, [...log, answer.text])
    return answer
  }

  return { ...app, logInAndWait, refresh, refused }
}

/** What a request says of the client: exactly one of these, besides the client_id. */
export function credentialsIn ({ headers, params, certificate }: RequestRecord): string[] {
  const credentials = { header: headers.authorization, secret: params.client_secret, assertion: params.client_assertion, certificate }
  return Object.entries(credentials).flatMap(([name, value]) => value === undefined ? [] : [name])
}
