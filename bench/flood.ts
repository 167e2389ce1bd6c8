import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify from 'fastify'
import tokenManagement from '../lib/index.ts'
import { Browser } from '../test/support/browser.ts'
import { authorize, startLogin, withParameter } from '../test/support/login-flow.ts'
import { startStrictServer } from './authorization-server.ts'

/*
 * What users' refreshes take while anonymous visitors come to the login: half of them start one, a quarter brings callbacks
 * that were invented, and a quarter callbacks of logins that were begun, with a code that was invented.
 */

const latency = 100
const perSecond = 300
const users = 40
const rounds = 5

const server = await startStrictServer({ latency: latency / 1000, expiresIn: 1 })
const app = Fastify({ forceCloseConnections: true })
await app.register(tokenManagement, {
  issuer: server.issuer,
  clientId: server.settings.clientId,
  clientSecret: server.settings.clientSecret,
  session: { key: randomBytes(32) },
  login: { callbackUri: 'http://127.0.0.1:3000/auth/callback', scope: ['openid', 'offline_access'] }
})
app.get('/token', async (request) => ({ token: await request.accessToken() }))
const origin = await app.listen({ port: 0, host: '127.0.0.1' })

async function logIn (): Promise<Browser> {
  const browser = new Browser(origin)
  await browser.get(await authorize(await startLogin(browser)))
  return browser
}

const visits: Array<() => Promise<unknown>> = [
  () => new Browser(origin).get('/auth/login'),
  () => new Browser(origin).get('/auth/login?returnTo=/orders'),
  () => new Browser(origin).get(`/auth/callback?code=x&state=${randomBytes(16).toString('base64url')}`),
  async () => {
    const browser = new Browser(origin)
    const url = await startLogin(browser)
    const query = new URLSearchParams({ state: url.searchParams.get('state') ?? '', iss: server.issuer })
    return await browser.get(withParameter(`/auth/callback?${query}`, 'code', randomBytes(8).toString('hex')))
  }
]

/** Sends visitors until it is stopped; what becomes of them is not waited for. */
function flood (): () => void {
  let count = 0
  const timer = setInterval(() => {
    for (let visit = 0; visit < perSecond / 50; visit++) visits[count++ % visits.length]?.().catch(() => {})
  }, 20)
  return () => { clearInterval(timer) }
}

/** One refresh of each user, spread over two seconds: how long each took, in milliseconds. */
async function refreshes (browsers: readonly Browser[]): Promise<number[]> {
  return await Promise.all(browsers.map(async (browser, index) => {
    await wait(index * 2000 / browsers.length)
    const start = performance.now()
    const { status } = await browser.get('/token')
    if (status !== 200) failed++
    return performance.now() - start
  }))
}

let failed = 0
const median = (values: readonly number[]) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
const results: Array<{ alone: number, flooded: number }> = []
const browsers = await Promise.all(Array.from({ length: users }, logIn))
for (let round = 0; round < rounds; round++) {
  await wait(1100)
  const alone = median(await refreshes(browsers))
  await wait(1100)
  const stop = flood()
  await wait(1000)
  const flooded = median(await refreshes(browsers))
  stop()
  await wait(1000)
  results.push({ alone, flooded })
}
const [alone, flooded] = [median(results.map((result) => result.alone)), median(results.map((result) => result.flooded))]
console.log(`| | refresh, median of ${rounds} rounds |\n| --- | --- |\n| alone | ${alone.toFixed(0)} ms |\n| beside ${perSecond} anonymous visitors a second | ${flooded.toFixed(0)} ms (${(flooded / alone).toFixed(1)} ×) |\n| failed | ${failed} of ${2 * rounds * users} |`)
await app.close()
await server.close()
