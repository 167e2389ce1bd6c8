import { readFileSync } from 'node:fs'
import { test } from 'tap'
import * as errors from '../lib/errors.ts'

const page = readFileSync('docs/troubleshooting.md', 'utf8')
const sections = new Map([...page.matchAll(/^### (FST_TOKEN_\w+)\n\n([^]*?)(?=^##|$(?![^]))/gm)].map(([, code = '', text = '']) => [code, text]))
const codes = [...new Set(readFileSync('lib/errors.ts', 'utf8').match(/FST_TOKEN_[A-Z_]*[A-Z]/g))]

test('docs/troubleshooting.md has a section for each error code, and for no other', async (t) => {
  t.ok(codes.length > 15)
  t.strictSame([...sections.keys()].sort(), codes.sort())
  for (const [code, text] of sections) t.ok(text.trim().length > 60, code)
})

test('its table says the status of each', async (t) => {
  const rows = [...page.matchAll(/^\| (\[.*?) \| (.*?) \|/gm)].map(([, names = '', statuses = '']) => ({ names: names.match(/(?<=`)FST_TOKEN_\w+/g) ?? [], statuses: statuses.split(', ') }))
  const told = rows.flatMap(({ names, statuses }) => names.map((name, index) => [name, statuses[index] ?? statuses[0]]))
  const thrown = Object.values(errors).flatMap((one) => one.prototype instanceof Error ? [Reflect.construct(one, [])] : [])
    .map(({ code, statusCode }) => [code, ['FST_TOKEN_INVALID_OPTIONS', 'FST_TOKEN_DISCOVERY_FAILED'].includes(code) ? 'boot' : String(statusCode)])
  t.strictSame(Object.fromEntries(told), Object.fromEntries(thrown))
})

test('the errors that a look at the page helps with point there', async (t) => {
  const { DiscoveryFailed, ServiceBadResponse, ServiceRefused } = errors
  for (const { message } of [new DiscoveryFailed('https://idp.example.com', 'x'), new ServiceBadResponse('x'), new ServiceRefused('x')]) {
    t.match(message, /See docs\/troubleshooting\.md\.?$/)
  }
})

test('no code of the page is one that lib never says, and its links lead somewhere', async (t) => {
  for (const code of page.match(/FST_TOKEN_[A-Z_]*[A-Z]/g) ?? []) t.ok(codes.includes(code), code)
  for (const [, file = ''] of page.matchAll(/\]\((\w[\w-]*\.md)(?:#\w+)?\)/g)) t.ok(readFileSync(`docs/${file}`).length > 0, file)
})
