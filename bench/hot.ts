import { startStrictServer } from './authorization-server.ts'
import { load, type Measure } from './hot/load.ts'
import { type Line, report } from './hot/report.ts'
import { Served } from './hot/served.ts'
import { distinctSessions, largeTokens, savedTokens } from './hot/sessions.ts'
import { hasLogin, plugin, subjects } from './hot/subjects.ts'
import { logIn } from './log-in.ts'
import { Browser } from '../test/support/browser.ts'
import { startRedis } from '../test/support/redis-server.ts'
import type { SavedSubject, Subject } from './subject.ts'

/** V8 settles differently from one start of a process to the next. */
const starts = 3
const rounds = 5
/** Together they are more than is remembered of cookies: each is as one that was never seen. */
const manyCookies = 12_000

interface Contestant {
  readonly name: string
  readonly subject: Subject | SavedSubject
  readonly route: string
  readonly tokens: typeof largeTokens
  /** Of how many browsers; one, where nothing is said. */
  readonly browsers?: number
}

const tokens = await savedTokens()
const closing: Array<() => unknown> = []
const { url: redisUrl } = await startRedis({ teardown: (close) => closing.push(close) }) // on this core, as the load
const [bare, , ...peers] = subjects
if (bare === undefined) throw new Error('Bare Fastify comes first')
const ofPlugin = { subject: plugin, route: '/token', tokens: largeTokens }
const field: Contestant[] = [
  { ...ofPlugin, name: bare.name, subject: bare },
  { ...ofPlugin, name: `${plugin.name}, registered, and asked for nothing`, route: '/nothing' },
  { ...ofPlugin, name: `${plugin.name}, one request.accessToken()` },
  { ...ofPlugin, name: `${plugin.name}, the same with a small cookie`, tokens: { expiresIn: largeTokens.expiresIn } },
  { ...ofPlugin, name: `${plugin.name}, the guard and request.accessToken()`, route: '/guarded' },
  { ...ofPlugin, name: `${plugin.name}, no cookie seen before`, browsers: manyCookies },
  ...peers.map((subject) => ({ name: subject.name, subject, route: '/token', tokens: largeTokens }))
]

interface Entered { readonly contestant: Contestant, readonly server: Served, readonly cookies: readonly string[], readonly measures: Measure[] }

/** A process of its own, with somebody logged in. */
async function enter (contestant: Contestant): Promise<Entered> {
  const { subject, browsers } = contestant
  const provider = await startStrictServer(contestant.tokens, hasLogin(subject) && subject.wantsHttps)
  const { settings: { clientId, clientSecret } } = provider
  const server = await Served.start({ name: subject.name, issuer: provider.issuer, settings: { clientId, clientSecret }, redisUrl, tokens })
  const { header } = hasLogin(subject) ? (await logIn(subject, server, provider)).browser : await saved(server)
  await provider.close()
  return { contestant, server, cookies: browsers === undefined ? [header] : await distinctSessions(browsers, provider, tokens), measures: [] }
}

async function saved (server: Served): Promise<Browser> {
  const browser = new Browser(server.origin)
  await browser.get('/login')
  const { json } = await browser.get('/token')
  if (json.token !== tokens.access_token) throw new Error(`${server.name} does not answer with the token`)
  return browser
}

const lines: Line[] = field.map(({ name, subject: { packages } }) => ({ name, packages, cookieBytes: 0, starts: [] }))
for (let started = 0; started < starts; started++) {
  const entered: Entered[] = []
  for (const contestant of field) entered.push(await enter(contestant))
  // The same Cookie header as the plugin gets, which nobody looks at.
  const [first, second, ...others] = entered
  const running = first === undefined || second === undefined ? [] : [{ ...first, cookies: second.cookies }, second, ...others]
  for (const { server, contestant, cookies } of running) await load(server, contestant.route, cookies) // to warm up
  for (let round = 0; round < rounds; round++) {
    const turn = round % running.length
    for (const { server, contestant, cookies, measures } of [...running.slice(turn), ...running.slice(0, turn)]) measures.push(await load(server, contestant.route, cookies))
  }
  running.forEach(({ server, cookies: [cookie = ''], measures }, index) => {
    server.stop()
    lines[index]?.starts.push(measures)
    Object.assign(lines[index] ?? {}, { cookieBytes: cookie.length })
  })
}
for (const close of closing) await close()
report(lines, { rounds, starts, sizes: `access token ${tokens.access_token.length}, refresh token ${tokens.refresh_token.length}, id_token ${tokens.id_token.length} bytes` })
