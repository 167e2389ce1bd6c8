import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'tap'

const reporter = join(import.meta.dirname, 'reporter.js')

/** What is printed of this TAP, and the status that it ends with. */
function report (...lines: string[]) {
  const script = `import Reporter from ${JSON.stringify(reporter)}\nprocess.stdin.setEncoding('utf8').pipe(new Reporter()).pipe(process.stdout)`
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { input: `${lines.join('\n')}\n`, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } })
  return { status, printed: stdout.split('\n').filter((line) => line !== '') }
}

test('the last lines say what was skipped and why, and the very last has the totals', async (t) => {
  const { status, printed } = report(
    'TAP version 14', '# Subtest: test/a.test.ts', '    ok 1 - plain', '    ok 2 - one # SKIP no redis-server', '        ok 1 - further in # SKIP no redis-server', '    ok 3 - other # SKIP', '    1..3',
    'ok 1 - test/a.test.ts # time=5ms', '1..1', '# { total: 4, pass: 1, skip: 3 }')
  t.equal(status, 0)
  t.strictSame(printed.slice(-4), ['Skipped:', '  2 × no redis-server', '  1 × no reason is given', '1 passed, 0 failed, 3 skipped'])
})

test('a run without skipped tests says so', async (t) => {
  const { status, printed } = report('    ok 1 - plain', 'ok 1 - test/a.test.ts # time=5ms', '# { total: 1, pass: 1 }')
  t.equal(status, 0)
  t.strictSame(printed, ['ok 1 - test/a.test.ts # time=5ms', 'Nothing was skipped.', '1 passed, 0 failed'])
})

test('a run without tests, and a file without them, fail', async (t) => {
  t.equal(report('# { total: 0 }').status, 1)
  const { status, printed } = report('    ok 1 - plain', 'ok 1 - test/a.test.ts', 'ok 2 - test/b.test.ts # SKIP no tests found', '# { total: 1, pass: 1, skip: 1 }')
  t.equal(status, 1)
  t.match(printed.join('\n'), /Failed without a failed assertion: .* a file without tests/)
})

test('what failed is printed with its diagnosis', async (t) => {
  const { printed } = report('    not ok 1 - wrong', '      ---', '      found: 1', '      ...', 'not ok 1 - test/a.test.ts', '# { total: 1, fail: 1 }')
  t.strictSame(printed.slice(0, 4), ['    not ok 1 - wrong', '      ---', '      found: 1', '      ...'])
  t.equal(printed.at(-1), '0 passed, 1 failed')
})
