import { machine, median, printReport, table } from './report.ts'
import type { Subject } from './subject.ts'

/** What one storm did. */
export interface Storm {
  /** Token requests that the authorization server saw. */
  readonly refreshes: number
  /** Answers other than 200. */
  readonly failed: number
  /** Answers with an access token that is worth something when all is over. */
  readonly working: number
  readonly isAlive: boolean
  readonly laterWorks: boolean
  /** Time to the last answer, in latencies of the token endpoint. */
  readonly ratio: number
}

interface Result { readonly subject: Subject, readonly storms: Storm[] }
interface Conditions { readonly requests: number, readonly latency: number, readonly rounds: number }

/** Prints a Markdown table, and what it was measured with. */
export function report (results: Result[], { requests, latency, rounds }: Conditions): void {
  printReport([
    `${requests} parallel requests on one expired session; the token endpoint takes ${latency} ms, rotates refresh tokens, and revokes the session`,
    `at the second use of one. ${rounds} rounds (lowest–highest where they differ; the time is the median).`,
    '',
    table(['', 'token requests', 'failed requests', `working tokens, of ${requests}`, 'session survived', 'a later request works', 'last answer ÷ latency'],
      results.map(({ subject, storms }) => [
        subject.name,
        range(storms.map(({ refreshes }) => refreshes)),
        range(storms.map(({ failed }) => failed)),
        range(storms.map(({ working }) => working)),
        share(storms.map(({ isAlive }) => isAlive)),
        share(storms.map(({ laterWorks }) => laterWorks)),
        median(storms.map(({ ratio }) => ratio)).toFixed(1)
      ])),
    '',
    ...machine('all in one process', results.flatMap(({ subject }) => subject.packages))
  ])
}

function range (values: number[]): string {
  const [lowest, highest] = [Math.min(...values), Math.max(...values)]
  return lowest === highest ? `${lowest}` : `${lowest}–${highest}`
}

function share (values: boolean[]): string {
  const yes = values.filter(Boolean).length
  if (yes === values.length) return 'yes'
  return yes === 0 ? 'no' : `${yes} of ${values.length}`
}
