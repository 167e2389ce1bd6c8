import { type AuthorizationServer, startAuthorizationServer } from '../authorization-server/authorization-server.ts'
import type { Settings } from '../authorization-server/settings.ts'
import type { Answer, Browser } from '../browser.ts'
import { type Closing, startRedis, type TestRedis } from '../redis-server.ts'
import { type Cluster, type Member, type Membership, startCluster } from './cluster.ts'

/** A cluster with a strict authorization server and a Redis of its own. */
export interface Stage extends Cluster {
  readonly server: AuthorizationServer
  readonly redis: TestRedis
  /** One of the processes; there is one. */
  member (place: number): Member
  /** A browser with a new session, whose token lives for 300 s; it talks to the first process. */
  login (): Promise<Browser>
  /** The same, when the token has expired. */
  expired (): Promise<Browser>
  /** So many requests with these cookies at each process. */
  storm (browser: Browser, times?: number): Promise<Answer[]>
  /** Whether the session lives at the server, and how often it was asked for tokens since the last time this was called. */
  outcome (): { alive: boolean, tokenRequests: number }
}

export async function startStage (t: Closing, size: number, { settings = {}, redis: redisSettings = [], ...common }: Partial<Membership> & { settings?: Partial<Settings>, redis?: string[] } = {}): Promise<Stage> {
  const server = await startAuthorizationServer(settings)
  t.teardown(() => server.close())
  const redis = await startRedis(t, redisSettings)
  const cluster = await startCluster(t, server, redis, size, common)
  let family = ''

  function member (place: number): Member {
    const found = cluster.members[place]
    if (found === undefined) throw new Error(`There is no process ${place}`)
    return found
  }

  async function login (): Promise<Browser> {
    const issued = await server.issue()
    family = server.familyOf(issued.refresh_token)?.id ?? ''
    return await member(0).save(issued)
  }

  async function expired (): Promise<Browser> {
    const browser = await login()
    cluster.move(301)
    return browser
  }

  async function storm (browser: Browser, times = 1): Promise<Answer[]> {
    return await Promise.all(cluster.members.flatMap((one) => Array.from({ length: times }, () => one.browser(browser).get('/token'))))
  }

  function outcome () {
    const { tokenRequests } = server
    server.forgetRequests()
    return { alive: server.isAlive(family), tokenRequests }
  }

  return { ...cluster, server, redis, member, login, expired, storm, outcome }
}

/** What answers have in common: their statuses, and how many different tokens they hold. */
export function summaryOf (answers: Answer[]): { statuses: number[], tokens: number } {
  return {
    statuses: [...new Set(answers.map(({ status }) => status))].toSorted(),
    tokens: new Set(answers.map(({ json }) => json.token)).size
  }
}
