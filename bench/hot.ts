import { startStrictServer } from './authorization-server.ts'
import { type Extent, load } from './hot/load.ts'
import { type Line, report } from './hot/report.ts'
import { Served } from './hot/served.ts'
import { distinctSessions, largeTokens, savedTokens } from './hot/sessions.ts'
import { hasLogin, plugin, subjects } from './hot/subjects.ts'
import { logIn } from './log-in.ts'
import { Browser } from '../test/support/browser.ts'
import type { SavedSubject, Subject } from './subject.ts'

const rounds = 5
const turn: Extent = { duration: 2 }
/** A cookie that nobody has seen before can be sent once: these turns end by number. */
const turnOfDistinct = { amount: 3000 }

interface Contestant extends Line {
  readonly server: Served
  readonly cookie: string | (() => string)
  readonly extent: Extent
}

const { issuer, tokens } = await savedTokens()

async function enter (subject: Subject | SavedSubject): Promise<Contestant> {
  const provider = await startStrictServer(largeTokens, hasLogin(subject) && subject.wantsHttps)
  const { issuer, settings: { clientId, clientSecret } } = provider
  const server = await Served.start({ name: subject.name, issuer, settings: { clientId, clientSecret }, tokens })
  const { header } = hasLogin(subject) ? (await logIn(subject, server, provider)).browser : await saved(server)
  await provider.close()
  return { ...subject, server, cookieBytes: header.length, cookie: header, extent: turn, measures: [] }
}

async function saved (server: Served): Promise<Browser> {
  const browser = new Browser(server.origin)
  await browser.get('/login')
  const { json } = await browser.get('/token')
  if (json.token !== tokens.access_token) throw new Error(`${server.name} does not answer with the token`)
  return browser
}

const contestants = await Promise.all(subjects.map(enter))
const [bare, repeated, ...peers] = contestants
if (bare === undefined || repeated?.name !== plugin.name) throw new Error('Bare Fastify comes first, and then the plugin')
const cookies = await distinctSessions((rounds + 1) * turnOfDistinct.amount, issuer, tokens)
const distinct: Contestant = {
  ...repeated,
  name: `${plugin.name}, no cookie seen before`,
  cookieBytes: cookies[0]?.length ?? 0,
  cookie: () => cookies.pop() ?? '',
  extent: turnOfDistinct,
  measures: []
}
const field = [
  { ...bare, cookieBytes: repeated.cookieBytes, cookie: repeated.cookie },
  { ...repeated, name: `${plugin.name}, one cookie` },
  distinct,
  ...peers
]

for (const { server, cookie, extent } of field) await load(server, cookie, extent) // to warm up
for (let done = 0; done < rounds; done++) {
  const first = done % field.length
  for (const { server, cookie, extent, measures } of [...field.slice(first), ...field.slice(0, first)]) {
    measures.push(await load(server, cookie, extent))
  }
}
report(field, { rounds, sizes: `access token ${tokens.access_token.length}, refresh token ${tokens.refresh_token.length}, id_token ${tokens.id_token.length} bytes` })
for (const { server } of contestants) server.stop()
