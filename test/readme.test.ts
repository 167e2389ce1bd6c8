import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import Fastify from 'fastify'
import { test } from 'tap'
import { optionsModule, optionsTable } from '../docs/options-text.ts'
import { startAuthorizationServer } from './support/authorization-server/authorization-server.ts'
import { Browser } from './support/browser.ts'
import { freePort } from './support/free-port.ts'

const readme = readFileSync('README.md', 'utf8')

test('the quick start of the README runs as it stands, with a key that its command makes: nobody gets in, log in, call the API', async (t) => {
  const server = await startAuthorizationServer({ expiresIn: 300 })
  t.teardown(() => server.close())
  const api = Fastify({ forceCloseConnections: true })
  api.get('/orders', async ({ headers }) => ({ of: server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '')?.sub }))
  t.teardown(() => api.close())
  const [quickStart = ''] = /(?<=```ts\n)import Fastify[^]*?(?=```)/.exec(readme) ?? []
  writeFileSync(`${t.testdir()}/quick-start.ts`, quickStart)
  const port = await freePort()
  const [makeKey = ''] = /(?<=32 random bytes: ).*/.exec(quickStart) ?? []
  const sessionKey = execFileSync('sh', ['-c', makeKey]).toString().trim()

  const app = spawn(process.execPath, ['--import', 'tsx', `${t.testdirName}/quick-start.ts`], {
    env: { ...process.env, NODE_OPTIONS: '', ISSUER: server.issuer, CLIENT_SECRET: server.settings.clientSecret, SESSION_KEY: sessionKey, API: await api.listen(), PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    app.kill()
    if (app.exitCode === null) await once(app, 'exit')
  })
  for await (const line of createInterface(app.stdout)) if (line.includes('Server listening')) break

  const browser = new Browser(`http://localhost:${port}`)
  t.equal((await browser.get('/orders')).status, 401)
  const start = await browser.get('/auth/login?returnTo=/orders')
  const atProvider = await fetch(String(start.headers.get('location')), { redirect: 'manual' })
  const callback = await browser.get(String(atProvider.headers.get('location')))
  t.equal(callback.headers.get('location'), '/orders')

  t.strictSame((await browser.get('/orders')).json, { of: 'alice' })
})

test('docs/options.md and the types say of the options what the schema says', async (t) => {
  t.ok(readFileSync('docs/options.md', 'utf8').includes(`<!-- options -->\n${optionsTable()}\n<!-- /options -->`), 'docs/options.md: run npm run docs')
  t.equal(readFileSync('types/options.ts', 'utf8'), optionsModule(), 'types/options.ts: run npm run docs')
})

test('the tests that SECURITY.md names for what holds are there', (t) => {
  const rows = [...readFileSync('SECURITY.md', 'utf8').matchAll(/\| `(test\/.*?\.test\.ts)` \| (.*) \|\n/g)]
  t.ok(rows.length > 30, `${rows.length} rows`)
  for (const [, file = '', title = ''] of rows) t.ok(readFileSync(file, 'utf8').replaceAll('\\\'', '\'').includes(title), `${file}: ${title}`)
  t.end()
})

test('CONTRIBUTING.md knows its way: each path it names is there, each folder of lib is named, and each command is one', async (t) => {
  const page = readFileSync('CONTRIBUTING.md', 'utf8')
  const paths = page.match(/(?<=[`\s])(?:lib|test|types|docs|bench|examples|\.ci)\/[\w./-]*/g) ?? []
  t.ok(paths.length > 25, `${paths.length} paths`)
  for (const path of paths) t.ok(existsSync(path), path)
  for (const { name } of readdirSync('lib', { withFileTypes: true }).filter((entry) => entry.isDirectory())) t.ok(page.includes(`\`lib/${name}/\``), name)
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  for (const [, script = ''] of page.matchAll(/npm (?:run )?(test(?::\w+)?|(?<=run )\S+?)(?=[`\s])/g)) t.ok(script in scripts, script)
})
