import { randomBytes, randomUUID } from 'node:crypto'
import { memoryRefreshCoordinator, type RefreshableTokenSet } from '../lib/refresh/coordinator.ts'

/** `npm run bench:memory`: what the coordinator keeps of 100,000 sessions that refresh in one process, as Markdown. */
const SESSIONS = 100_000
const GRACE = 30
const HOUR = 3600

if (globalThis.gc === undefined) throw new Error('Run it with --expose-gc, as npm run bench:memory does')
const { gc } = globalThis
const clock = { now: 1_800_000_000 }
const coordinator = memoryRefreshCoordinator(GRACE, 86_400, () => clock.now)
const rows: string[] = []

/** Of the size of a Keycloak session: 3.5 KB of tokens. */
function tokenSet (sessionId: string, generation: number): RefreshableTokenSet {
  const token = (bytes: number) => randomBytes(bytes).toString('base64url')
  return {
    sessionId,
    generation,
    startedAt: clock.now,
    accessTokens: [{ accessToken: token(1280), tokenType: 'Bearer', issuedAt: clock.now, generation, expiresAt: clock.now + 300 }],
    refreshToken: token(483),
    idToken: token(860)
  }
}

function note (when: string): void {
  gc()
  rows.push(`| ${when} | ${((process.memoryUsage().heapUsed - before) / 1_048_576).toFixed(1)} |`)
}

/** Refreshes one session, and lets its cookie come back. */
async function refresh (comesBack: boolean): Promise<void> {
  const tokens = tokenSet(randomUUID(), 0)
  const successor = await coordinator.once(tokens, async () => tokenSet(tokens.sessionId, 1))
  if (comesBack) coordinator.arrived(successor)
}

await refresh(true)
gc()
const before = process.memoryUsage().heapUsed

for (let count = 0; count < SESSIONS; count++) await refresh(true)
note(`${SESSIONS.toLocaleString('en')} sessions have refreshed at once, and their cookies have come back`)
clock.now += GRACE + 1
await refresh(true)
note('the grace period later, at the next refresh')
clock.now += HOUR + 1
await refresh(true)
note('an hour later: how far each session had come is forgotten too')
for (let count = 0; count < SESSIONS; count++) await refresh(false)
note(`${SESSIONS.toLocaleString('en')} sessions have refreshed at once, and every response was lost`)
clock.now += HOUR + 1
await refresh(true)
note('an hour later')

process.stdout.write([
  '| | heap, MiB |',
  '| --- | --- |',
  ...rows,
  '',
  `${new Date().toISOString().slice(0, 10)}; Node.js ${process.version}; 3.5 KB of tokens a session.`,
  ''
].join('\n'))
