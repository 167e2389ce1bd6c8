import { machine, median, printReport, table } from '../report.ts'
import type { Measure } from './load.ts'

/** One line of the table, with what each round of each start of its process has measured. */
export interface Line {
  readonly name: string
  readonly packages: string[]
  readonly cookieBytes: number
  readonly starts: Measure[][]
}

interface Conditions { readonly sizes: string, readonly starts: number, readonly rounds: number }

/** What a core that waits for nothing is busy. */
const BUSY = 0.97

/** Prints a Markdown table, what it was measured with, and the ratios to the first line as JSON. */
export function report (lines: Line[], { sizes, starts, rounds }: Conditions): void {
  const results = lines.map((line) => ({ ...line, ...medians(line), ratios: ratios(line, lines[0]) }))
  const idle = results.filter(({ busy }) => busy < BUSY)
  printReport([
    `\`GET\` of a route that answers with the access token of a valid session: ${sizes}. Medians of ${rounds} rounds in each of ${starts} starts, and of these`,
    'the medians; in a round the systems take turns, and ratios are those within a round. The server has one core, wrk another one.',
    '',
    table(['', 'Cookie bytes', 'requests/s', '÷ bare', 'CPU µs/request', 'bare ÷ it', 'p99 ms', 'core busy'], results.map((result) => [
      result.name,
      `${result.cookieBytes}`,
      result.requestsPerSecond.toFixed(0),
      result.ratios.requestsPerSecond.toFixed(2),
      result.cpu.toFixed(1),
      result.ratios.cpu.toFixed(2),
      result.p99.toFixed(1),
      `${(result.busy * 100).toFixed(0)} %`
    ])),
    '',
    ...idle.length === 0 ? [] : [`The core was not busy all the time (${idle.map(({ name }) => name).join('; ')}): somebody else had the machine, and requests/s say little.`, ''],
    ...machine('a process for each line', lines.flatMap(({ packages }) => packages)),
    '',
    ...results.map(({ name, ratios: { requestsPerSecond, cpu } }) => JSON.stringify({ bench: 'hot', subject: name, requestsPerSecond: rounded(requestsPerSecond), cpu: rounded(cpu) }))
  ])
}

function medians ({ starts }: Line): Measure & { readonly busy: number } {
  const of = (value: (measure: Measure) => number) => median(starts.map((measures) => median(measures.map(value))))
  return {
    requestsPerSecond: of(({ requestsPerSecond }) => requestsPerSecond),
    cpu: of(({ cpu }) => cpu),
    p99: of(({ p99 }) => p99),
    busy: of(({ requestsPerSecond, cpu }) => requestsPerSecond * cpu / 1_000_000)
  }
}

/** Round by round, so that what slows the machine for a while slows both. More is better in both. */
function ratios ({ starts }: Line, base: Line | undefined): Pick<Measure, 'requestsPerSecond' | 'cpu'> {
  const of = (ratio: (measure: Measure, bare: Measure) => number) => median(starts.map((measures, start) => median(measures.flatMap((measure, round) => {
    const bare = base?.starts[start]?.[round]
    return bare === undefined ? [] : [ratio(measure, bare)]
  }))))
  return {
    requestsPerSecond: of((measure, bare) => measure.requestsPerSecond / bare.requestsPerSecond),
    cpu: of((measure, bare) => bare.cpu / measure.cpu)
  }
}

function rounded (ratio: number): number {
  return Math.round(ratio * 1000) / 1000
}
