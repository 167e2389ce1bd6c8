import { setTimeout as wait } from 'node:timers/promises'
import type { AuthorizationServer } from '../test/support/authorization-server/authorization-server.ts'
import type { Answer } from '../test/support/browser.ts'
import { startStrictServer } from './authorization-server.ts'
import { logIn, type Session } from './log-in.ts'
import { report, type Storm } from './storm-report.ts'
import type { RunningSubject, Subject } from './subject.ts'
import { auth0ServerJs } from './subjects/auth0-server-js.ts'
import { expressOpenidConnect } from './subjects/express-openid-connect.ts'
import { fastifyOAuth2 } from './subjects/fastify-oauth2.ts'
import { thisPlugin } from './subjects/this-plugin.ts'

const subjects = [thisPlugin, auth0ServerJs, expressOpenidConnect, fastifyOAuth2]
const requests = 50
/** Of the token endpoint, in milliseconds. */
const latency = 50
const rounds = 5
/** In seconds: of the access tokens that expire before the storm, and of those that come of it. */
const lifetime = { short: 1, long: 300 }

interface Contestant {
  readonly subject: Subject
  readonly server: AuthorizationServer
  readonly running: RunningSubject
  readonly storms: Storm[]
}

async function enter (subject: Subject): Promise<Contestant> {
  const server = await startStrictServer({ latency: latency / 1000 }, subject.wantsHttps)
  return { subject, server, running: await subject.start(server), storms: [] }
}

/** A session with an access token that is about to expire. */
async function newSession ({ subject, server, running }: Contestant): Promise<Session> {
  server.settings.expiresIn = lifetime.short
  return await logIn(subject, running, server)
}

/** The 50 requests of a page that was asleep, all with the same cookies; then one more, with what came back. */
async function storm ({ server }: Contestant, { browser, family }: Session): Promise<Storm> {
  server.settings.expiresIn = lifetime.long
  server.forgetRequests()
  const start = performance.now()
  const answers = await Promise.all(Array.from({ length: requests }, () => browser.get('/token')))
  const duration = performance.now() - start
  const { refreshes } = server
  const isAlive = server.isAlive(family)
  const working = answers.filter((answer) => works(answer, server, family)).length
  return {
    refreshes,
    failed: answers.filter(({ status }) => status !== 200).length,
    working,
    isAlive,
    laterWorks: works(await browser.get('/token'), server, family),
    ratio: duration / latency
  }
}

/** Whether a token was answered that is worth something, now that all is over. */
function works ({ status, json: { token } }: Answer, server: AuthorizationServer, family: string): boolean {
  return status === 200 && typeof token === 'string' && server.whoHas(token)?.family === family
}

/** The fair start: one request alone, on an expired session, is refreshed by all of them. */
async function refreshesAlone ({ subject, server }: Contestant, { browser, family }: Session): Promise<void> {
  server.settings.expiresIn = lifetime.long
  server.forgetRequests()
  const answer = await browser.get('/token')
  if (!works(answer, server, family) || server.refreshes !== 1) throw new Error(`${subject.name}: ${answer.status} ${answer.text}`)
}

/** All of them at once wait for their tokens to expire; then each has its turn. */
async function round (contestants: Contestant[], turn: (contestant: Contestant, session: Session) => Promise<void>): Promise<void> {
  const sessions = new Map<Contestant, Session>()
  for (const contestant of contestants) sessions.set(contestant, await newSession(contestant))
  await wait((lifetime.short + 1) * 1000 + 100) // some count in whole seconds
  for (const [contestant, session] of sessions) await turn(contestant, session)
}

const contestants = await Promise.all(subjects.map(enter))
await round(contestants, refreshesAlone)
await round(contestants, async (contestant, session) => { await storm(contestant, session) }) // to warm up
for (let done = 0; done < rounds; done++) {
  const first = done % contestants.length
  const order = [...contestants.slice(first), ...contestants.slice(0, first)]
  await round(order, async (contestant, session) => { contestant.storms.push(await storm(contestant, session)) })
}
report(contestants, { requests, latency, rounds })
for (const { running, server } of contestants) {
  await running.close()
  await server.close()
}
