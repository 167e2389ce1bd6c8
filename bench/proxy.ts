import { Browser } from '../test/support/browser.ts'
import { savedTokens } from './hot/sessions.ts'
import { type Measure, Pinned } from './proxy/process.ts'
import { machine, median, printReport, table } from './report.ts'

/** V8 settles differently from start to start. */
const starts = 4
const rounds = 3
const seconds = 2

const tokens = await savedTokens()
const api = await Pinned.start(1, { name: 'api', api: '', tokens })
const page = { 'x-csrf': '1', 'sec-fetch-site': 'same-origin' }

const plain: Measure[] = []
const ours: Measure[] = []
let cookie = ''
for (let started = 0; started < starts; started++) {
  const proxies = {
    plain: await Pinned.start(0, { name: 'plain', api: api.origin, tokens }),
    ours: await Pinned.start(0, { name: 'ours', api: api.origin, tokens })
  }
  const browser = new Browser(proxies.ours.origin)
  await browser.get('/login')
  const { status, headers } = await browser.get('/api/orders/7', page)
  if (status !== 200 || headers.get('x-token') !== 'one') throw new Error('The proxy has not handed on the token')
  cookie = browser.header
  const turns = [[proxies.plain, plain], [proxies.ours, ours]] as const
  for (const [proxy] of turns) await proxy.load('/api/orders/7', { ...page, cookie }, seconds) // to warm up
  for (let round = 0; round < rounds; round++) {
    for (const [proxy, measures] of round % 2 === 0 ? turns : turns.toReversed()) measures.push(await proxy.load('/api/orders/7', { ...page, cookie }, seconds))
  }
  for (const [proxy] of turns) await proxy.stop()
}
await api.stop()

const of = (measures: Measure[], name: keyof Measure) => median(measures.map((measure) => measure[name]))
/** Turn by turn, so that what slows the machine for a while slows both. */
const ratio = (name: keyof Measure) => median(ours.map((measure, turn) => measure[name] / (plain[turn]?.[name] ?? NaN)))
const row = (name: string, measures: Measure[], ratios: string[]) =>
  [name, of(measures, 'requestsPerSecond').toFixed(0), of(measures, 'cpu').toFixed(0), of(measures, 'p99').toFixed(1), (of(measures, 'requestsPerSecond') * of(measures, 'cpu') / 10_000).toFixed(0), ...ratios]
printReport([
  `\`GET\` of a small answer through the proxy, with a Cookie header of ${cookie.length} bytes and an access token of ${tokens.access_token.length}: ${starts} starts of each, ${rounds} turns of`,
  `${seconds} s in each start, in turn; medians, and ratios within a turn. The proxy has one core, the API and wrk the other.`,
  '',
  table(['', 'requests/s', 'CPU µs/request', 'p99 ms', 'core busy %', 'requests/s ÷ plain', 'CPU ÷ plain'], [
    row('@fastify/http-proxy', plain, ['1', '1']),
    row('tokenProxy, with the user\'s token', ours, [ratio('requestsPerSecond').toFixed(2), ratio('cpu').toFixed(2)])
  ]),
  '',
  ...machine('a process for each', ['fastify', '@fastify/http-proxy', '@fastify/reply-from', 'undici']),
  '',
  JSON.stringify({ bench: 'proxy', requestsPerSecond: Math.round(ratio('requestsPerSecond') * 1000) / 1000, cpu: Math.round(ratio('cpu') * 1000) / 1000 })
])
