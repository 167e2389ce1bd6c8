import { machine, median, printReport, table } from '../report.ts'
import type { Measure } from './load.ts'

/** One line of the table, with what each of its rounds has measured. */
export interface Line {
  readonly name: string
  readonly packages: string[]
  readonly cookieBytes: number
  readonly measures: Measure[]
}

interface Conditions { readonly sizes: string, readonly rounds: number }

/** Prints a Markdown table, what it was measured with, and the ratios to the first line as JSON. */
export function report (lines: Line[], { sizes, rounds }: Conditions): void {
  const results = lines.map((line) => ({ ...line, ...medians(line), ratios: ratios(line, lines[0]) }))
  printReport([
    `\`GET\` of a route that reads the access token of a valid session: ${sizes}. Medians of ${rounds} rounds, in which`,
    'the systems took turns; ratios are those within a round. The server has one core, the load another one.',
    '',
    table(['', 'Cookie bytes', 'requests/s', '÷ bare', 'CPU µs/request', '÷ bare', 'p99 ms', 'core busy'], results.map((result) => [
      result.name,
      `${result.cookieBytes}`,
      result.requestsPerSecond.toFixed(0),
      result.ratios.requestsPerSecond.toFixed(2),
      result.cpu.toFixed(0),
      result.ratios.cpu.toFixed(2),
      result.p99.toFixed(1),
      `${(result.requestsPerSecond * result.cpu / 10_000).toFixed(0)} %`
    ])),
    '',
    ...machine('a process for each system', lines.flatMap(({ packages }) => packages)),
    '',
    ...results.map(({ name, ratios: { requestsPerSecond, cpu } }) => JSON.stringify({ bench: 'hot', subject: name, requestsPerSecond: rounded(requestsPerSecond), cpu: rounded(cpu) }))
  ])
}

function medians ({ measures }: Line): Measure {
  const of = (name: keyof Measure) => median(measures.map((measure) => measure[name]))
  return { requestsPerSecond: of('requestsPerSecond'), cpu: of('cpu'), p99: of('p99') }
}

/** Round by round, so that what slows the machine for a while slows both. */
function ratios (line: Line, base: Line | undefined): Pick<Measure, 'requestsPerSecond' | 'cpu'> {
  const of = (name: keyof Measure) => median(line.measures.map((measure, round) => measure[name] / (base?.measures[round]?.[name] ?? NaN)))
  return { requestsPerSecond: of('requestsPerSecond'), cpu: of('cpu') }
}

function rounded (ratio: number): number {
  return Math.round(ratio * 1000) / 1000
}
