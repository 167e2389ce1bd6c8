// What `npm test` prints: a line per test file, whatever is not a plain pass in full, what was skipped and why, and tap's totals as the very last line.
// JavaScript, because tap loads it into its own process, which does not strip types.
import { Transform } from 'node:stream'

const noise = [
  /^\s*$/,
  /^\s+ok \d+(?!.*# (SKIP|TODO))/, // a test or an assertion that passed; the line of its file stays
  /^\s*\d+\.\.\d+$/,
  /^\s*# (Subtest: |time=)/,
  /^\s*\}$/,
  /^TAP version /
]

export default class Reporter extends Transform {
  #rest = ''
  #inDiagnosis = false
  #emptyFile = false
  #totals = { pass: 0, fail: 0, skip: 0 }
  #skipped = new Map() // how many tests, by the reason

  constructor () {
    super({ decodeStrings: false })
    // Not at the end of the stream: tap prints the coverage, and decides about it, around that time.
    process.on('exit', () => {
      const { pass, fail, skip } = this.#totals
      if (pass === 0 || this.#emptyFile) process.exitCode ||= 1 // no tests prove nothing; to tap they are a skip
      if (process.exitCode && fail === 0) console.log('\nFailed without a failed assertion: see above for lines of lib that no test covers, or a file without tests.')
      console.log(this.#skipped.size === 0 ? '\nNothing was skipped.' : '\nSkipped:')
      for (const [reason, count] of this.#skipped) console.log(`  ${count} × ${reason}`)
      console.log(`\n${pass} passed, ${fail} failed${skip ? `, ${skip} skipped` : ''}`)
    })
  }

  _transform (chunk, _encoding, done) {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line)
    done()
  }

  _flush (done) {
    this.#line(this.#rest)
    done()
  }

  #line (line) {
    if (/^ok .*# SKIP no tests found/.test(line)) this.#emptyFile = true
    const totals = /^# \{ total: \d+.*\}$/.test(line) && line.matchAll(/(pass|fail|skip): (\d+)/g)
    const skip = /^\s+ok \d+.* # SKIP ?(.*)$/.exec(line)
    if (skip !== null) this.#count(skip[1] || 'no reason is given')
    if (/^\s+---$/.test(line)) this.#inDiagnosis = true
    if (totals) for (const [, name, count] of totals) this.#totals[name] = Number(count)
    else if (this.#inDiagnosis || !noise.some((pattern) => pattern.test(line))) this.push(`${line}\n`)
    if (/^\s+\.\.\.$/.test(line)) this.#inDiagnosis = false
  }

  #count (reason) {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1)
  }
}
