import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** A Markdown table. */
export function table (head: string[], rows: string[][]): string {
  const row = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')
}

export function printReport (lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** What it was measured with. */
export function machine (processes: string, packages: string[]): string[] {
  const today = new Date().toISOString().slice(0, 10)
  return [
    `${today}; Node.js ${process.version}; ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}); ${processes}.`,
    [...new Set(packages)].map((name) => `${name} ${versionOf(name)}`).join(', ') + '.'
  ]
}

export function median (values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

/** The peers are installed here, what the plugin depends on in the folder above. */
function versionOf (name: string): string {
  const file = ['.', '..'].map((folder) => new URL(`${folder}/node_modules/${name}/package.json`, import.meta.url)).find(existsSync)
  return file ? JSON.parse(readFileSync(file, 'utf8')).version : '(not installed)'
}
