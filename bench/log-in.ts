import type { AuthorizationServer } from '../test/support/authorization-server/authorization-server.ts'
import { Browser } from '../test/support/browser.ts'
import { overHttp } from './authorization-server.ts'
import type { RunningSubject, Subject } from './subject.ts'

export interface Session {
  readonly browser: Browser
  /** The id of what the authorization server revokes at a reuse. */
  readonly family: string
}

const redirects = 10

/** Logs in through the subject's own routes, so that its cookies are its own. */
export async function logIn ({ name, loginPath }: Subject, { origin }: Pick<RunningSubject, 'origin'>, server: AuthorizationServer): Promise<Session> {
  const browser = new Browser(origin)
  let url = new URL(loginPath, origin)
  for (let hop = 0; hop < redirects; hop++) {
    const location = await visit(browser, url)
    if (location === null) break
    url = new URL(location, url)
  }
  const { status, text } = await browser.get('/token')
  const family = server.families.at(-1)?.id
  if (status !== 200 || family === undefined) throw new Error(`${name}: the login failed with ${status} ${text}`)
  return { browser, family }
}

/** Where it is redirected to, if so. The provider has no cookies, and logs in whoever comes. */
async function visit (browser: Browser, url: URL): Promise<string | null> {
  if (url.origin === browser.origin) return (await browser.get(url.pathname + url.search)).headers.get('location')
  const answer = await fetch(overHttp(url), { redirect: 'manual' })
  return answer.headers.get('location')
}
