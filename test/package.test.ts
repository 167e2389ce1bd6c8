import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { minVersion, satisfies } from 'semver'
import t from 'tap'
import ts from 'typescript'
import { deadLinks, linksOf } from './docs/links.ts'

/*
 * What a consumer gets: the packed tarball, installed outside the repo, on the current Node and on those that `.ci/run`
 * fetches into .nodes (or CONSUMER_NODES, paths of node binaries, says).
 */
t.setTimeout(600_000)
const root = join(import.meta.dirname, '..')
const read = (...path: string[]) => readFileSync(join(...path), 'utf8')
const manifest = JSON.parse(read(root, 'package.json'))

/** What each entry point gives, values and types: what is taken away here breaks somebody. */
const publicNames = {
  index: `module.exports default tokenManagement
    clientAssertion clientSecretBasic clientSecretJwt clientSecretPost isTokenError none privateKeyJwt tlsClientAuth
    AccessToken AccessTokenParameters ApiClient ApiName AssertionOptions ClientAuthentication ClientCertificate ClientDpopProofParameters ClientName ClientTokenParameters
    Current DpopProofParameters EditableRequest FailureClass IdTokenClaims JsonWebKey MendedAnswer OAuth2Token OutgoingRequest PrivateKey PrivateKeyJwtOptions ProviderAnswer RefreshedEvent
    RefreshFailedEvent RefreshTokenReusedEvent SaveParameters SessionDirectory SessionEndedEvent SessionEndReason SessionParameters SessionQuery StartLoginParameters StoreContext TokenError TokenErrorCode TokenExchange TokenManagementOptions TokenParameters
    TokenResponse Tokens TokenSession TokenSessions TokenSessionsParameters TokenSet TokenStore TokenWish UnauthenticatedError
    ApiMessage ClientTokenMessage ExchangeMessage LoginMessage LoginOutcome LogoutMessage RefreshMessage RefreshOutcome`,
  proxy: 'AllowedRoute default tokenProxy TokenProxyOptions',
  redis: `AvailabilityEvent IndexedLogin MadeTokenStore RedisClient redisRefreshCoordinator RedisRefreshCoordinatorOptions RedisSubscriber redisTokenStore RedisTokenStoreOptions SharedCoordinator
    SharedCoordinatorFactory SharedCoordinatorSettings SharedLogouts TokenStoreFactory TokenStoreSettings`,
  testing: `browser ConformanceOptions Fault faults Gate HoldOptions IssuedTokens IssueOptions loggedIn LoggedInOptions ProviderEndpoint ProviderRequest TestBrowser TestedApp TestLogin
    testProvider TestProvider TestProviderSettings TestRunner tokenStoreConformance`
}

/**
 * What the README promises: the oldest TypeScript for ES modules, for bundlers, and for CommonJS. They are installed as the consumer's, and the
 * newest with them: as dependencies of ours they would take turns at `.bin/tsc`.
 */
const older = [
  { version: '5.6.3', options: { module: ts.ModuleKind.NodeNext }, files: ['use.mts'] },
  { version: '5.6.3', options: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }, files: ['use.mts'] },
  { version: '5.9.3', options: { module: ts.ModuleKind.NodeNext }, files: ['use.mts', 'use.cts'] }
]
const newest = '7.0.2'

/** Without the NODE_OPTIONS that tap gives to every child: a consumer has no loader, and dist does not count as coverage. */
function run (cwd: string, command: string, ...args: string[]) {
  const { status, stdout, stderr, error } = spawnSync('env', ['-u', 'NODE_OPTIONS', command, ...args], { cwd, encoding: 'utf8' })
  if (error) throw error
  return { status, stdout, output: stdout + stderr }
}

function runOrThrow (cwd: string, command: string, ...args: string[]) {
  const { status, stdout, output } = run(cwd, command, ...args)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} exited with ${status}:\n${output}`)
  return stdout
}

const place = mkdtempSync(join(tmpdir(), 'consumer-of-fastify-token-management-'))
process.on('exit', () => rmSync(place, { recursive: true, force: true })) // also when the packing below throws
runOrThrow(root, 'npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', place) // `npm test` has built dist, and other tests are using it
const tarball = join(place, `${manifest.name}-${manifest.version}.tgz`)

t.test('the tarball holds the built library and its papers, and nothing else', async (t) => {
  const names = runOrThrow(place, 'tar', 'tzf', tarball).trim().split('\n').map((name) => name.replace('package/', '')).sort()
  t.strictSame([...new Set(names.map((name) => name.split('/')[0]))].sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'bench', 'dist', 'docs', 'package.json'])
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)
  t.strictSame(names.filter((name) => /^(docs|bench)\//.test(name)), ['bench/README.md', ...pages].sort(), 'the pages, and not what writes them')
  const sources = ['lib', 'types'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`))
    .filter((name) => name.endsWith('.ts') && !name.includes('.test')).map((name) => name.slice(0, -'.ts'.length))
  t.strictSame(names.filter((name) => name.startsWith('dist/')), sources.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]).sort(),
    'every file of lib is in it, and no test, example, or relic of an older build')

  runOrThrow(place, 'tar', 'xzf', tarball)
  for (const name of names) t.notMatch(read(place, 'package', name), /-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[\w-]{10,}\.|\bnpm_\w{36}|\bAKIA[A-Z0-9]{16}/, `${name} holds no secret`)
})

t.test('every link of its pages leads to a file that is packed, and to a heading there is', async (t) => {
  const folder = join(place, 'package')
  const pages = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'))
  for (const page of pages) t.strictSame(deadLinks(folder, page), [], page)
  t.ok(pages.flatMap((page) => linksOf(read(folder, page))).length > 40)
})

t.test('publint and attw find nothing wrong with the tarball', async (t) => {
  const tool = (name: string) => join(root, 'node_modules', '.bin', name)
  const publint = run(place, tool('publint'), 'run', tarball, '--strict', '--level', 'warning')
  t.equal(publint.status, 0, publint.output)
  const attw = run(place, tool('attw'), tarball, '--profile', 'esm-only', '--no-definitely-typed', '--no-color', '--no-emoji', '--format', 'ascii')
  t.equal(attw.status, 0, attw.output)
})

t.test('a consumer', async (t) => {
  const consumer = join(place, 'consumer')
  mkdirSync(consumer)
  writeFileSync(join(consumer, 'package.json'), '{ "private": true }')
  const version = (name: string) => `${name}@${JSON.parse(read(root, 'node_modules', name, 'package.json')).version}`
  runOrThrow(consumer, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball, version('fastify'), version('@types/node'),
    ...new Set([...older.map(({ version }) => version), newest].map((version) => `typescript-${version}@npm:typescript@${version}`)))

  t.test('asks for no newer Node than it promises, but for what Fastify itself brings along', async (t) => {
    const below = (query: string): Array<{ name: string, version: string, engines?: { node?: string } }> => JSON.parse(runOrThrow(consumer, 'npm', 'query', query))
    const oldest = String(minVersion(manifest.engines.node))
    const tooNew = (query: string) => below(query).filter(({ engines }) => !satisfies(oldest, engines?.node ?? '*')).map(({ name, version }) => `${name}@${version}`)
    t.ok(below(`#${manifest.name} *`).length > 30, 'there are packages to judge')
    const fastifys = tooNew('#fastify *')
    t.strictSame(tooNew(`#${manifest.name} *`).filter((name) => !fastifys.includes(name)), [])
  })

  /** Not skipLibCheck for our own declarations, and no check of everybody else's, which costs half a minute. */
  function compile (compiler: typeof ts, files: string[], options: ts.CompilerOptions) {
    const program = compiler.createProgram(files.map((file) => join(consumer, file)), {
      ...options,
      target: ts.ScriptTarget.ES2023,
      strict: true,
      exactOptionalPropertyTypes: false,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(consumer, 'node_modules', '@types')]
    })
    const ours = program.getSourceFiles().filter(({ fileName }) => fileName.includes('/consumer/use.') || fileName.includes('/fastify-token-management/dist/'))
    if (ours.length <= 3) throw new Error('The declarations were not found')
    const problems = [...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics(), ...ours.flatMap((file) => compiler.getPreEmitDiagnostics(program, file))]
    return { program, problems: compiler.formatDiagnostics([...new Set(problems)], { getCanonicalFileName: (name) => name, getCurrentDirectory: () => consumer, getNewLine: () => '\n' }) }
  }

  t.test('type-checks as an ES module and as CommonJS, our own declarations included', async (t) => {
    const testing = "import { browser, faults, loggedIn, testProvider } from 'fastify-token-management/testing'\n"
    const use = `
declare module 'fastify' {
  interface TokenApis { orders: unknown }
  interface TokenClients { machine: unknown }
}
const http2 = Fastify({ http2: true })
http2.register(tokenManagement, { issuer: 'https://idp.example.com', clientId: 'web', clientSecret: 'secret', session: { key: 'key' } })
http2.get('/', { onRequest: [http2.requireAccessToken, http2.requireCsrfHeader], config: { tokens: { required: true } } }, async (request) => {
  try {
    const token: string = await request.accessToken()
    const sub: string | undefined = (await request.tokens.claims())?.sub
    return { token, sub }
  } catch (error) {
    // @ts-expect-error a code that there is not
    isTokenError(error, 'FST_TOKEN_EXPIRED')
    if (isTokenError(error, 'FST_TOKEN_LOGIN_REQUIRED')) return { loginPath: error.loginPath }
    throw error
  }
})
const app = Fastify()
const tokenStore: TokenStore = { get: () => null, set () {}, clear () {} }
app.decorate('tokenStore', tokenStore)
app.register(tokenManagement, {
  issuer: 'https://idp.example.com',
  clientId: 'web',
  clientAuthentication: clientSecretPost('secret'),
  session: { key: Buffer.alloc(32) },
  login: { callbackUri: 'https://app.example.com/auth/callback', scope: ['openid', 'offline_access'] },
  onRefreshed: (event) => { const provider: string = event.provider; return provider }
})
// @ts-expect-error an option that is not there
app.register(tokenManagement, { issuer: 'https://idp.example.com', clientId: 'web', nonsense: true })
// @ts-expect-error an option of the wrong type
app.register(tokenManagement, { issuer: 'https://idp.example.com', clientId: 1 })
app.register(tokenProxy, { prefix: '/api/orders', api: 'orders', allow: [{ path: '/orders/:id', methods: ['GET'] }] })
// @ts-expect-error an API that is not declared
app.register(tokenProxy, { prefix: '/api/orders', api: 'order' })
app.after(() => {
  app.get('/', { onRequest: app.requireAccessToken }, async (request) => {
    const token: string = await request.accessToken({ forceRenewal: true, resource: 'https://api.example.com' })
    const perhaps: string | null = await request.accessToken({ optional: true })
    // @ts-expect-error it may be null
    const wrong: string = await request.accessToken({ optional: true })
    await request.apiClient('orders').fetch('/orders')
    await app.clientAccessToken('machine')
    // @ts-expect-error an API that is not declared
    request.apiClient('order')
    // @ts-expect-error a client that is not declared
    await app.clientAccessToken('machin')
    const tokens = await request.tokens.get()
    const generation: number | undefined = tokens?.generation
    return { token, perhaps, wrong, generation }
  })
})
export const inTests = async () => {
  const provider = await testProvider({ user: 'bob' })
  provider.fault(faults.answer(503), Infinity)
  const { inject } = await loggedIn(http2, { claims: { sub: 'alice' }, tokens: await provider.issue() })
  // @ts-expect-error an option that is not there
  await loggedIn(app, { user: 'alice' })
  const status: number = (await inject('/')).statusCode
  const cookie: string = browser(app).cookie
  return { status, cookie }
}
`
    writeFileSync(join(consumer, 'use.mts'), `import Fastify from 'fastify'\nimport tokenManagement, { clientSecretPost, isTokenError, type TokenStore } from 'fastify-token-management'\nimport tokenProxy from 'fastify-token-management/proxy'\nimport 'fastify-token-management/redis'\n${testing}${use}`)
    writeFileSync(join(consumer, 'use.cts'), `import Fastify = require('fastify')\nimport tokenManagement = require('fastify-token-management')\nimport { tokenProxy } from 'fastify-token-management/proxy'\nimport { clientSecretPost, isTokenError, type TokenStore } from 'fastify-token-management'\n${testing}${use}`)
    const { program, problems } = compile(ts, ['use.mts', 'use.cts'], { module: ts.ModuleKind.NodeNext })
    t.equal(problems, '')

    const checker = program.getTypeChecker()
    for (const [entry, names] of Object.entries(publicNames)) {
      const declarations = program.getSourceFile(join(consumer, 'node_modules', manifest.name, 'dist', 'lib', `${entry}.d.ts`))
      const module = declarations && checker.getSymbolAtLocation(declarations)
      t.strictSame(module && checker.getExportsOfModule(module).map(({ name }) => name).sort(), names.split(/\s+/).sort(), `the public names of ${entry}`)
    }
  })

  for (const { version, options, files } of older) {
    t.test(`compiles strictly with TypeScript ${version}, ${options.module === ts.ModuleKind.NodeNext ? 'for Node' : 'for a bundler'}`, async (t) => {
      const compiler: typeof ts = createRequire(join(consumer, 'package.json'))(`typescript-${version}`)
      t.equal(compiler.version, version)
      t.equal(compile(compiler, files, options).problems, '')
    })
  }

  t.test(`compiles strictly with TypeScript ${newest}`, async (t) => {
    const { status, output } = run(consumer, process.execPath, `node_modules/typescript-${newest}/bin/tsc`, '--noEmit', '--strict', '--target', 'es2023', '--module', 'nodenext', '--types', 'node', 'use.mts', 'use.cts')
    t.equal(status, 0, output)
  })

  const boot = `
async function boot (options) {
  const app = Fastify()
  app.register(tokenManagement, options)
  try {
    await app.ready()
    return typeof app.requireAccessToken
  } catch (error) {
    console.error(error)
    return error.code
  } finally {
    await app.close()
  }
}
const issuer = 'https://idp.example.com'
const metadata = { issuer, token_endpoint: issuer + '/token' }
const right = { metadata, clientId: 'web', clientAuthentication: clientSecretPost('secret'), session: { key: randomBytes(32) } }
Promise.all([boot(right), boot({ ...right, clientId: 1 })]).then((outcome) => console.log(JSON.stringify(outcome)))
`
  writeFileSync(join(consumer, 'imports.mjs'), `import { randomBytes } from 'node:crypto'\nimport Fastify from 'fastify'\nimport tokenManagement, { clientSecretPost } from 'fastify-token-management'\n${boot}`)
  writeFileSync(join(consumer, 'requires.cjs'), `const { randomBytes } = require('node:crypto')\nconst Fastify = require('fastify')\nconst tokenManagement = require('fastify-token-management')\nconst { clientSecretPost } = tokenManagement\n${boot}`)

  writeFileSync(join(consumer, 'conformance.test.mjs'), `
import { test } from 'node:test'
import { tokenStoreConformance } from 'fastify-token-management/testing'
test('a store that holds nothing', async (t) => { await tokenStoreConformance(t, () => ({ get: () => null, set () {}, clear () {} })) })
`)
  t.test('the conformance kit runs under node:test, and finds what is wrong', async (t) => {
    const { status, output } = run(consumer, process.execPath, '--test-reporter=tap', 'conformance.test.mjs')
    t.equal(status, 1)
    t.match(output, /^ *ok 1 - without a session there are no tokens/m)
    t.match(output, /^ *not ok 2 - every field of a token set comes back as it was/m)
  })

  t.test('a bundle by esbuild, as the README says, boots', async (t) => {
    const [command = ''] = /(?<=`)esbuild .*?(?=`)/.exec(read(root, 'README.md')) ?? []
    t.match(command, /--bundle/)
    runOrThrow(consumer, join(root, 'node_modules', '.bin', 'esbuild'), ...command.split(' ').slice(1), 'imports.mjs', '--outfile=bundle.cjs', '--log-level=error')
    const { stdout, output } = run(consumer, process.execPath, 'bundle.cjs')
    t.equal(stdout.trim(), '["function","FST_TOKEN_INVALID_OPTIONS"]', output)
  })

  const others = process.env.CONSUMER_NODES?.split(delimiter) ?? fetchedNodes()
  if (others.length === 0) t.test('boots on the other Nodes that are promised', { skip: 'NOT TESTED: only the current Node is there. bash .ci/run fetches the others into .nodes' }, async () => {})
  for (const node of [process.execPath, ...others]) {
    const nodeVersion = runOrThrow(consumer, node, '--version').trim()
    for (const [verb, script] of [['import', 'imports.mjs'], ['require', 'requires.cjs']] as const) {
      t.test(`${verb} gives a plugin that boots on Node ${nodeVersion}, and that wrong options keep from booting`, async (t) => {
        const { stdout, output } = run(consumer, node, script)
        t.equal(stdout.trim(), '["function","FST_TOKEN_INVALID_OPTIONS"]', output)
        t.match(output, /clientId/, 'and it says which')
      })
    }
  }
})

function fetchedNodes () {
  const folder = join(root, '.nodes')
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name, 'node_modules', '.bin', 'node')) : []
}
