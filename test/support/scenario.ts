import type { Test } from 'tap'
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server/authorization-server.ts'
import { Gate } from '../../lib/testing/provider/gate.ts'
import type { Settings } from './authorization-server/settings.ts'
import type { Answer, Browser } from './browser.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from './start-app.ts'

/** Ages of a session, in seconds, whose access token lives for 300 s with a window of 60 s. */
export const ages = { inWindow: 250, expired: 301 }

/** What one answer, and everything around it, must be. */
export interface Expected {
  readonly status: number
  /** The `code` of the error in the body; none: no error. */
  readonly code?: string
  /** What the answer does to the session cookie; default: nothing. */
  readonly cookie?: 'set' | 'cleared' | 'unchanged'
  /** Seconds in Retry-After; none: no such header. */
  readonly retryAfter?: number
  /** Requests that the token endpoint has seen since the last check; default: none. */
  readonly tokenRequests?: number
  /** What the app was told since the last check; default: nothing. */
  readonly told?: readonly string[]
}

export interface Scenario extends TestApp {
  readonly server: AuthorizationServer
  /** Checks an answer, what the token service and the app have seen since the last check, and that no secret got out. */
  check (answer: Answer, expected: Expected, message?: string): Promise<void>
  /** Settles when the app was told of something since the last check. */
  heard (): Promise<void>
  /** Settles when so many more requests are in the app than now, and wait for what they ask for. */
  entered (count: number): Promise<void>
  /** What these requests are answered: the gate is released once all of them are in the app. */
  atOnce (gate: Gate, requests: Array<() => Promise<Answer>>): Promise<Answer[]>
  /** A session of a certain age: `ages.expired`. */
  loginAged (age: number): Promise<Browser>
}

/**
 * An app and a strict authorization server with one clock, and every event of the app noted. `GET /tokens` is the token
 * set, `GET /renew` forces a new token (or, with the header `rejected`, instead of that one), both without the hook.
 */
export async function startScenario (t: Test, { before, routes, ...options }: TestAppOptions = {}, settings: Partial<Settings> = {}): Promise<Scenario> {
  const server = await startAuthorizationServer({ clientSecret: 'the-secret-of-the-client', ...settings })
  t.teardown(() => server.close())
  let told: string[] = []
  let tokenRequests = 0
  let inside = 0
  const entrance = new Gate()
  entrance.release()
  const app = await startApp(t, server, {
    onRefreshed: () => { told.push('refreshed') },
    onRefreshFailed: ({ failure, sessionEnded }) => { told.push(`failed: ${failure}${sessionEnded ? ', the end' : ''}`) },
    onSessionEnded: ({ reason }) => { told.push(`ended: ${reason}`) },
    before: (instance) => {
      instance.addHook('onRequest', async () => {
        inside++
        await entrance.pass()
      })
      return before?.(instance)
    },
    routes: (instance) => {
      const config = { tokens: false } as const
      instance.get('/tokens', { config }, async (request) => await request.tokens.get())
      instance.get<{ Headers: { rejected?: string } }>('/renew', { config }, async (request) =>
        ({ token: await request.accessToken({ forceRenewal: request.headers.rejected ?? true }) }))
      return routes?.(instance)
    },
    ...options
  })
  server.settings.clock = () => app.clock.now

  async function check (answer: Answer, expected: Expected, message = 'the answer'): Promise<void> {
    await new Promise(setImmediate) // when events are told
    const { status, code, cookie = 'unchanged', retryAfter, tokenRequests: asked = 0, told: events = [] } = expected
    t.strictSame({
      status: answer.status,
      code: answer.json.code,
      cookie: cookieOf(answer),
      retryAfter: answer.headers.get('retry-after'),
      tokenRequests: server.tokenRequests - tokenRequests,
      told: told.toSorted()
    }, {
      status,
      code,
      cookie,
      retryAfter: retryAfter === undefined ? null : String(retryAfter),
      tokenRequests: asked,
      told: events.toSorted()
    }, message)
    if (cookie !== 'unchanged') t.equal(answer.headers.get('cache-control'), 'no-store', 'R13 nobody keeps a copy of the cookie')
    tokenRequests = server.tokenRequests
    told = []
    assertNoSecrets(t, server, [...app.log, ...(answer.status >= 400 ? [answer.text] : [])])
  }

  async function heard (): Promise<void> {
    while (told.length === 0) await new Promise(setImmediate)
  }

  async function loginAged (age: number): Promise<Browser> {
    const browser = await app.login()
    app.clock.now += age
    return browser
  }

  async function entered (count: number): Promise<void> {
    await entrance.arrived(inside + count)
    await new Promise(setImmediate)
  }

  async function atOnce (gate: Gate, requests: Array<() => Promise<Answer>>): Promise<Answer[]> {
    const allInside = entered(requests.length)
    const answers = Promise.all(requests.map((request) => request()))
    await allInside
    gate.release()
    return await answers
  }

  return { ...app, server, check, heard, entered, atOnce, loginAged }
}

/** What an answer does to the session cookie. */
export function cookieOf ({ setCookies }: Answer): 'set' | 'cleared' | 'unchanged' {
  const [cookie, ...more] = setCookies.filter((each) => each.startsWith('__Host-tokens='))
  if (more.length > 0) throw new Error('The session cookie is set twice')
  if (cookie === undefined) return 'unchanged'
  return cookie.includes('Max-Age=0') ? 'cleared' : 'set'
}

/** R14 No token, client secret, key or proof stands in what is logged or told to a client. */
export function assertNoSecrets (t: Test, server: AuthorizationServer, texts: string[]): void {
  const { clientId, clientSecret } = server.settings
  const secrets = [
    ...server.tokens,
    ...server.requests.flatMap(({ params }) => params.client_assertion ?? []),
    'PRIVATE KEY',
    ...server.keysAndProofs,
    clientSecret,
    Buffer.from(`${clientId}:${clientSecret}`).toString('base64'),
    sessionKey,
    Buffer.from(sessionKey, 'base64').toString(),
    Buffer.from(sessionKey, 'base64').toString('hex')
  ]
  const text = texts.join('\n')
  t.notOk(secrets.some((secret) => text.includes(secret)), 'R14 no secret is logged or told')
}
