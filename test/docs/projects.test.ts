/* Pages that make a project, followed from top to bottom: its files in a folder, and its commands in a process of their own. */
import { execFileSync, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import ts from 'typescript'
import { parse } from 'yaml'
import { OptionsSchema } from '../../lib/options/schema.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { authorize, goOn, startLogin } from '../support/login-flow.ts'
import { snippetsOf, writeSnippets } from '../support/snippets.ts'
import { sessionKey } from '../support/start-app.ts'

const root = join(import.meta.dirname, '../..')

/** What tsc makes of it. */
const compiled = (snippet: string) => ts.transpile(snippet, { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true })

/** The project of docs/fastify-cli.md, in `dist`, with what a reader may have done to a file of it. */
function build (folder: string, mistakes: Record<string, (text: string) => string> = {}): void {
  const files = [...snippetsOf('fastify-cli.md')].filter(([name]) => name.endsWith('.ts'))
  writeSnippets(folder, files.map(([name, text]) => [name.replace('src', 'dist').replace('.ts', '.js'), compiled(mistakes[name]?.(text) ?? text)] as const))
}

interface Running {
  /** Settles when it prints a line that matches, or has. */
  said (pattern: RegExp): Promise<string>
  signal (name: NodeJS.Signals): void
  stop (): Promise<void>
}

/** Runs Node in a folder, with what the test runs with for TypeScript, and ends it with the test. */
function run (t: Test, cwd: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, ['--import', join(root, 'node_modules/tsx/dist/esm/index.mjs'), ...args], { cwd, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  const printed = new EventEmitter()
  createInterface(child.stdout).on('line', (line) => { printed.emit('line', lines.push(line)) }).once('close', () => printed.emit('line'))
  async function stop (): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill()
    await exited
  }
  t.teardown(stop)
  return {
    stop,
    signal: (name) => { child.kill(name) },
    async said (pattern) {
      for (;;) {
        const found = lines.find((line) => pattern.test(line))
        if (found !== undefined) return found
        if (child.stdout.readableEnded) throw new Error(`node ${args.join(' ')} has ended, and said ${lines.join('\n')}`)
        await once(printed, 'line')
      }
    }
  }
}

test('docs/fastify-cli.md: the files of the page, compiled, are an app that fastify start runs by its .env, and that logs in', async (t) => {
  const snippets = snippetsOf('fastify-cli.md')
  const server = await startAuthorizationServer({ redirectUris: null })
  t.teardown(() => server.close())
  const api = Fastify({ forceCloseConnections: true })
  api.get('/orders', async ({ headers }) => ({ of: server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '')?.sub }))
  t.teardown(() => api.close())
  const port = await freePort()
  const values: Record<string, string> = {
    PORT: String(port),
    ISSUER: server.issuer,
    CLIENT_ID: 'web',
    CLIENT_SECRET: server.settings.clientSecret,
    CALLBACK_URI: `http://localhost:${port}/auth/callback`,
    SESSION_KEY: sessionKey
  }
  const sample = snippets.get('sample.env') ?? ''
  t.strictSame([...sample.matchAll(/^(\w+)=/gm)].map(([, name]) => name).sort(), Object.keys(values).sort())

  const { errors } = ts.convertCompilerOptionsFromJson(JSON.parse(snippets.get('tsconfig.json') ?? '').compilerOptions, '.')
  t.strictSame(errors, [])
  const folder = t.testdir({ '.env': sample.replace(/^(\w+)=.*$/gm, (_, name) => `${name}=${values[name]}`) })
  build(folder)
  const [, command = ''] = /npx fastify (start .*)/.exec(readFileSync('docs/fastify-cli.md', 'utf8')) ?? []
  await run(t, folder, [join(root, 'node_modules/fastify-cli/cli.js'), ...command.split(' ')], { API: await api.listen({ port: 0 }) }).said(/Server listening/)

  const browser = new Browser(`http://localhost:${port}`)
  const start = await browser.get('/orders', { accept: 'text/html' })
  t.equal(start.status, 303)
  t.equal((await browser.get(await authorize(new URL(start.headers.get('location') ?? '')))).headers.get('location'), '/orders')
  t.strictSame((await browser.get('/orders')).json, { of: 'alice' })
})

test('docs/fastify-cli.md: what goes wrong there says so as the page has it', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  Object.assign(process.env, { ISSUER: server.issuer, CLIENT_ID: 'web', CLIENT_SECRET: 'a secret', SESSION_KEY: sessionKey, CALLBACK_URI: 'http://localhost:3000/auth/callback' })
  const plugin = 'src/plugins/token-management.ts'
  let count = 0
  const place = t.testdir()
  const boot = async (t: Test, mistakes: Record<string, (text: string) => string>, { prefix = '', files = {} }: { prefix?: string, files?: Record<string, string> } = {}) => {
    const folder = join(place, String(count++)) // a module is loaded once
    build(folder, mistakes)
    writeSnippets(folder, Object.entries(files))
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register((await import(join(folder, 'dist/app.js'))).default, { prefix })
    return await app.ready()
  }
  const page = readFileSync('docs/fastify-cli.md', 'utf8')

  await t.test('without fp()', async (t) => {
    const [, message = ''] = /"(the route \/orders.*?)"/.exec(page) ?? []
    await t.rejects(boot(t, { [plugin]: (text) => text.replace('export default fp(', 'export default (').replace("}, { name: 'tokens' })", '})') }), { code: 'FST_TOKEN_INVALID_OPTIONS', message })
  })
  const dependent = (text: string) => text.replace("{ name: 'tokens' }", "{ name: 'tokens', dependencies: ['redis'] }").replace('await fastify.register', "if (!fastify.hasDecorator('first')) throw new Error('too early')\n  await fastify.register")
  await t.test('with a dependency that is not there, and with one whose file comes later', async (t) => {
    await t.rejects(boot(t, { [plugin]: dependent }), /redis/)
    const redis = "import fp from 'fastify-plugin'\nexport default fp(async (fastify) => { fastify.decorate('first', true) }, { name: 'redis' })\n"
    await t.resolves(boot(t, { [plugin]: dependent }, { files: { 'dist/plugins/zzz.js': redis } }))
  })
  await t.test('in a prefix that the callback does not have', async (t) => {
    await t.rejects(boot(t, {}, { prefix: '/bff' }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: '/bff' })
  })
  await t.test('with an autoConfig, and options for all', async (t) => {
    const given = JSON.stringify({ issuer: server.issuer, clientId: 'web', clientSecret: 'a secret', session: { key: sessionKey }, login: { callbackUri: process.env.CALLBACK_URI, scope: ['openid'] } })
    const configured = () => `export { default } from 'fastify-token-management'\nexport const autoConfig = ${given}\n`
    await t.resolves(boot(t, { [plugin]: configured }))
    const optionsForAll = (text: string) => text.replace("'plugins')", "'plugins'), options: { mine: true }")
    await t.rejects(boot(t, { [plugin]: configured, 'src/app.ts': optionsForAll }), { code: 'FST_TOKEN_INVALID_OPTIONS', message: /mine/ })
    await t.resolves(boot(t, { 'src/app.ts': optionsForAll }))
  })
})

test('docs/keycloak.md: compose file, realm and app agree, and the app runs with the names of the compose file', async (t) => {
  const snippets = snippetsOf('keycloak.md')
  const { services: { keycloak, app } } = parse(snippets.get('compose.yaml') ?? '')
  const realm = JSON.parse(snippets.get('realm.json') ?? '')
  const [client] = realm.clients
  const env: Record<string, string> = app.environment
  t.match(env, { CLIENT_ID: client.clientId, CLIENT_SECRET: client.secret, ISSUER: `${keycloak.environment.KC_HOSTNAME}/realms/${realm.realm}` })
  t.strictSame(client.redirectUris, [`${env.ORIGIN}/auth/callback`])
  t.equal(client.attributes['post.logout.redirect.uris'], `${env.ORIGIN}/`)
  t.strictSame(keycloak.ports, [env.ISSUER, env.ORIGIN].map((address = '') => `${new URL(address).port}:${new URL(address).port}`), 'what the app shares, Keycloak publishes')
  t.equal(new URL(env.ORIGIN ?? '').port, env.PORT)
  t.equal(app.network_mode, 'service:keycloak')
  t.match(keycloak.volumes, [/^\.\/realm\.json:/])
  t.strictSame([realm.ssoSessionIdleTimeout, realm.ssoSessionMaxLifespan], [OptionsSchema.properties.session.properties.inactivityDuration, OptionsSchema.properties.session.properties.absoluteDuration].map((schema) => Object(schema).default))
  const [, read = ''] = /const \{(.*?)\} = process\.env/.exec(snippets.get('app.ts') ?? '') ?? []
  t.strictSame(read.split(',').map((name) => name.replace(/=.*/, '').trim()).sort(), Object.keys(env).sort())

  const port = await freePort()
  const origin = `http://localhost:${port}`
  const server = await startAuthorizationServer({ clientId: client.clientId, clientSecret: client.secret, user: realm.users[0].username, expiresIn: realm.accessTokenLifespan, redirectUris: [`${origin}/auth/callback`] })
  t.teardown(() => server.close())
  const folder = t.testdir()
  writeSnippets(folder, [['app.ts', snippets.get('app.ts') ?? '']])
  await run(t, folder, ['app.ts'], { ...env, PORT: String(port), ORIGIN: origin, ISSUER: server.issuer, SESSION_KEY: sessionKey }).said(/Server listening/)
  const browser = new Browser(origin)
  const start = await browser.get('/me', { accept: 'text/html' })
  t.equal((await browser.get(await authorize(new URL(start.headers.get('location') ?? '')))).headers.get('location'), '/me')
  t.match((await browser.get('/me')).json, { sub: 'alice' })
  const onward = await goOn(browser, await browser.post('/auth/logout'))
  t.equal(new URL(onward.headers.get('location') ?? '').searchParams.get('post_logout_redirect_uri'), `${origin}/`)
})

/** Lets a test move the time of a process. */
const movableClock = `data:text/javascript,${encodeURIComponent(`
let times = 0
process.on('SIGUSR2', () => {
  const { now } = Date
  Date.now = () => now() + 20_000
  console.log('moved', ++times)
})`)}`

test('docs/getting-started.md: followed from top to bottom, it logs in, calls the API, refreshes, and logs out', async (t) => {
  const page = readFileSync('docs/getting-started.md', 'utf8')
  const [makeKey = ''] = /npx .*(?= > session\.key)/.exec(page) ?? []
  const [, ofApi = '', ofApp = ''] = [...page.matchAll(/^node (.*\.js)/gm)].map(([, args]) => args)
  const [port, apiPort] = [await freePort(), await freePort()]
  const folder = t.testdir({ 'session.key': execFileSync('sh', ['-c', makeKey]) })
  writeSnippets(folder, [...snippetsOf('getting-started.md')].map(([name, text]) => [name, text.replaceAll('3000', String(port)).replaceAll('4000', String(apiPort))] as const))

  const provider = run(t, folder, ['provider.js'])
  writeFileSync(join(folder, '.env'), `${await provider.said(/^ISSUER=/)}\n${await provider.said(/^CLIENT_ID=/)}\n${await provider.said(/^CLIENT_SECRET=/)}\n`)
  const app = run(t, folder, ['--import', movableClock, ...ofApp.split(' ')])
  await Promise.all([app, run(t, folder, ofApi.split(' '))].map((child) => child.said(/Server listening/)))

  const browser = new Browser(`http://localhost:${port}`)
  const [, login = ''] = /href="(.*?)"/.exec((await browser.get('/')).text) ?? []
  t.equal((await browser.get(await authorize(await startLogin(browser, login)))).headers.get('location'), '/orders')
  const { json: first } = await browser.get('/orders')
  t.match(first, { orders: ['tea'], of: 'alice' })
  const move = async (times: number) => {
    app.signal('SIGUSR2')
    await app.said(new RegExp(`^moved ${times}`))
  }
  await move(1)
  const { json: second } = await browser.get('/orders')
  await app.said(/refreshed/)
  t.ok(String(second.tokenUntil) >= String(first.tokenUntil))

  await provider.stop()
  t.match((await browser.get('/orders')).json, { of: 'alice' }, 'for as long as the token lives')
  await move(2)
  await move(3)
  t.match(await browser.get('/orders'), { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.match(await browser.get('/'), { status: 200, text: /My orders/ })
  const onward = await goOn(browser, await browser.post('/auth/logout'))
  t.equal(new URL(onward.headers.get('location') ?? '').searchParams.get('post_logout_redirect_uri'), `http://localhost:${port}/`)
  t.match((await browser.get('/')).text, 'Log in')
})
