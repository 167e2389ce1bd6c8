import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import Fastify, { type FastifyInstance } from 'fastify'
import tokenManagement from '../lib/index.ts'
import { costlyHeaders, headersLike } from '../test/support/hostile-cookies.ts'
import { machine, median, printReport, table } from './report.ts'

/**
 * `npm run bench:cookies`: what hostile Cookie headers cost beside bare Fastify, as Markdown. Each is sent several times to both, on a
 * route that asks for a token and on none at all, and the quickest counts, so that a pause of the machine is nobody's cost.
 */
const [RANDOM, LOT] = [50_000, 500]
const [TIMES, MORE_TIMES] = [2, 50]
const WORST = 50

const name = '__Host-tokens'
const issuer = 'https://idp.example.com'
const bare = Fastify()
bare.get('/token', async () => ({ token: null }))
const plugin = Fastify()
await plugin.register(tokenManagement, { metadata: { issuer, token_endpoint: `${issuer}/token` }, clientId: 'web', clientSecret: 'a secret', session: { key: Buffer.alloc(32, 'k') } })
plugin.get('/token', async (request) => ({ token: await request.accessToken({ optional: true }) }))
plugin.get('/save', async (request) => {
  await request.tokens.save({ access_token: randomBytes(700).toString('base64url'), refresh_token: randomBytes(400).toString('base64url'), token_type: 'Bearer' })
})
const value = (await plugin.inject('/save')).cookies[0]?.value
if (value === undefined) throw new Error('There is no genuine session to begin with')

/** Microseconds of one request, at its quickest. */
async function cost (app: FastifyInstance, url: string, cookie: string, times: number): Promise<number> {
  let least = Infinity
  for (let time = 0; time < times; time++) {
    const before = performance.now()
    await app.inject({ url, headers: { cookie } })
    least = Math.min(least, performance.now() - before)
  }
  return least * 1000
}

/** What the plugin costs beside bare Fastify, which gets the same header. */
async function difference (url: string, cookie: string, times = TIMES): Promise<number> {
  return await cost(plugin, url, cookie, times) - await cost(bare, url, cookie, times)
}

async function measure (title: string, url: string, headers: readonly string[]): Promise<string[]> {
  const costs: Array<{ cookie: string, micros: number }> = []
  for (const cookie of headers) {
    costs.push({ cookie, micros: await difference(url, cookie) })
    await new Promise(setImmediate) // what a request leaves to be done later is done now
  }
  const worst = costs.toSorted((one, other) => other.micros - one.micros).slice(0, WORST)
  const again: number[] = []
  for (const { cookie } of worst) again.push(await difference(url, cookie, MORE_TIMES))
  const usual = headers.length === 1 ? again : costs.map(({ micros }) => micros)
  return [title, url, String(headers.length), median(usual).toFixed(0), Math.max(...again).toFixed(0)]
}

const costly = costlyHeaders(name, value)
// In small lots: what makes them takes far more memory than they do.
const random = Array.from({ length: RANDOM / LOT }, (_, seed) => fc.sample(headersLike(name, value), { numRuns: LOT, seed })).flat()
const rows: string[][] = []
for (const url of ['/token', '/nothing']) {
  await measure('warm-up', url, random.slice(0, 5000))
  rows.push(await measure('random', url, random))
  for (const [title, header] of Object.entries(costly)) rows.push(await measure(title, url, [header]))
}
printReport([
  table(['headers', 'route', 'how many', 'median, µs', 'worst, µs'], rows),
  '',
  ...machine('one process, without sockets', ['fastify', '@fastify/secure-session'])
])
await Promise.all([bare.close(), plugin.close()])
