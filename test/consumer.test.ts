import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startRedis, whyNotRedis } from './support/redis-server.ts'

/*
 * Whoever tests an app of theirs, by docs/testing.md alone: the packed tarball in a project of its own, and every snippet of the page as a file in it.
 */
t.setTimeout(180_000)
const root = join(import.meta.dirname, '..')
const { name, version } = manifestOf('.')
const consumer = mkdtempSync(join(tmpdir(), 'tests-of-a-consumer-'))
process.on('exit', () => rmSync(consumer, { recursive: true, force: true }))

function manifestOf (folder: string): { name: string, version: string } {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
}

/** As in a shell of the consumer's: without the loader that tap gives to every child. */
function run (command: string, ...args: string[]) {
  const { status, stdout, stderr, error } = spawnSync('env', ['-u', 'NODE_OPTIONS', command, ...args], { cwd: consumer, encoding: 'utf8' })
  if (error) throw error
  return { status, output: stdout + stderr }
}

const page = readFileSync(join(root, 'docs', 'testing.md'), 'utf8')
const snippets = new Map([...page.matchAll(/<!-- ([\w.-]+) -->\n```[tj]s\n([^]*?)```/g)].map(([, name = '', snippet = '']) => [name, snippet]))
const underNode = ['routes', 'logout', 'provider', 'session', 'redis'].map((name) => `${name}.test.ts`)

t.test('every snippet of docs/testing.md has a name, and is run below', async (t) => {
  t.equal(snippets.size, [...page.matchAll(/^```\w+$/gm)].length)
  t.strictSame([...snippets.keys()].sort(), [...underNode, 'app.js', 'cli.test.js', 'tap.test.ts', 'vitest.test.js'].sort())
})

t.test('a consumer', async (t) => {
  const packed = run('npm', 'pack', root, '--silent', '--ignore-scripts')
  t.equal(packed.status, 0, packed.output)
  writeFileSync(join(consumer, 'package.json'), '{ "private": true, "type": "module" }')
  const others = ['fastify', '@fastify/cookie', '@fastify/session', 'fastify-cli', 'ioredis'].map((name) => `${name}@${manifestOf(join('node_modules', name)).version}`)
  const installed = run('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${name}-${version}.tgz`, ...others, 'vitest@3.2.4')
  t.equal(installed.status, 0, installed.output)
  symlinkSync(join(root, 'node_modules', 'tap'), join(consumer, 'node_modules', 'tap')) // half a minute to install
  // They are JavaScript, too, which every Node runs.
  const asJavaScript = (name: string) => name.replace(/\.ts$/, '.js')
  for (const [name, snippet] of snippets) writeFileSync(join(consumer, asJavaScript(name)), snippet)

  t.test('tests routes, a logout, a login, its refreshes and an outage under node:test, and with fastify-cli', async (t) => {
    const { status, output } = run('node', '--test', '--test-reporter=tap', ...underNode.map(asJavaScript).filter((name) => name !== 'redis.test.js'), 'cli.test.js')
    t.equal(status, 0, output)
    t.match(output, /^# pass 11$/m)
    t.match(output, /^# skipped 0$/m)
  })

  t.test('has its sessions on Redis', { skip: whyNotRedis() }, async (t) => {
    const { url } = await startRedis(t)
    const { status, output } = run('env', `REDIS_URL=${url}`, 'node', '--test', '--test-reporter=tap', 'redis.test.js')
    t.equal(status, 0, output)
    t.match(output, /^# pass 1$/m)
  })

  t.test('tests under tap', async (t) => {
    const { status, output } = run('node', 'tap.test.js')
    t.equal(status, 0, output)
    t.match(output, /^ok 1 - somebody is logged in/m)
  })

  t.test('tests under Vitest', async (t) => {
    const { status, output } = run('npx', 'vitest', 'run', 'vitest.test.js')
    t.equal(status, 0, output)
    t.match(output, /1 passed/)
  })
})
