import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import ts from 'typescript'
import { startApi, type TestApi } from '../support/api.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { sessionKey } from '../support/start-app.ts'

/** The snippets of a page, by the names in the comments before them. */
function snippetsOf (page: string): Map<string, string> {
  const text = readFileSync(`docs/${page}`, 'utf8')
  const named = [...text.matchAll(/<!-- ([\w-]+\.\w+) -->\n```\w+\n([^]*?)```/g)].map(([, name = '', snippet = '']) => [name, snippet] as const)
  if (named.length !== [...text.matchAll(/```(?:ts|js)\n/g)].length) throw new Error(`docs/${page}: each snippet needs a name, so that it is run`)
  return new Map(named)
}

interface World { readonly api: TestApi, readonly browser: Browser }

/** An app of these snippets, in this order, with somebody logged in. */
async function run (t: Test, snippets: Array<string | undefined>): Promise<World> {
  const server = await startAuthorizationServer({ accessTokenFormat: 'jwt' })
  t.teardown(() => server.close())
  const api = await startApi(t, { issuer: server.issuer })
  Object.assign(process.env, { ORDERS: api.origin, STOCK: api.origin })
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  const options = { issuer: server.issuer, clientId: 'web', clientSecret: 'a secret', session: { key: sessionKey }, dpop: server.settings.dpop }
  Object.assign(globalThis, { app, options })
  // In the repo, so that what the snippets import is found.
  const folder = t.testdir()
  for (const [index, snippet = ''] of snippets.entries()) {
    const file = join(folder, `${index}.ts`)
    writeFileSync(file, snippet.replaceAll(/'fastify-token-management(?:\/(\w+))?'/g, (_, entry = 'index') => `'${new URL(`../../lib/${entry}.ts`, import.meta.url).href}'`))
    await import(file)
  }
  const { dpopKey, ...tokens } = await server.issue()
  app.get('/save', async (request) => { await request.tokens.save(tokens, { ...dpopKey && { dpopKey } }); return {} })
  const browser = new Browser(await app.listen({ port: 0, host: '127.0.0.1' }))
  await browser.get('/save')
  return { api, browser }
}

test('the snippets of docs/calling-apis.md run as they stand', async (t) => {
  const page = snippetsOf('calling-apis.md')
  t.strictSame([...page.keys()], ['register.ts', 'generated.ts', 'dispatcher.ts', 'names.ts'])
  const { browser } = await run(t, [page.get('register.ts'), page.get('generated.ts'), page.get('dispatcher.ts')])
  t.match(await browser.get('/my-orders'), { status: 200, json: { sub: 'alice', url: '/orders?state=open' } })
  t.match(await browser.get('/levels'), { status: 200, json: { sub: 'web', scope: 'stock' } })
  t.match(await browser.get('/order/7'), { status: 200, json: { sub: 'alice', url: '/orders/7' } })
  t.match(await browser.get('/state'), { status: 200, json: { sub: 'alice', url: '/state' } })
  t.match(await browser.get('/retried'), { status: 200, json: { sub: 'alice', url: '/orders' } })
})

test('the names of docs/calling-apis.md are then the only ones that compile', async (t) => {
  const names = snippetsOf('calling-apis.md').get('names.ts') ?? ''
  const folder = t.testdir()
  mkdirSync(join(folder, 'app'))
  const file = join(folder, 'app', 'names.ts')
  writeFileSync(file, `import type { FastifyInstance, FastifyRequest } from 'fastify'
import 'fastify-token-management'
${names}
export const call = (app: FastifyInstance, request: FastifyRequest) => [
  request.apiClient('orders'), app.apiClient('stock'), app.clientAccessToken('jobs'),
  request.apiClient('order'), app.apiClient('stocks'), app.clientAccessToken('job')
]
`)
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, process.cwd())
  const program = ts.createProgram([file], options)
  const problems = ts.getPreEmitDiagnostics(program, program.getSourceFile(file)).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))
  t.strictSame(problems.map((problem) => /type '"(\w+)"' is not assignable/.exec(problem)?.[1]), ['order', 'stocks', 'job'], problems.join('\n'))
})

test('the snippets of docs/proxy.md run as they stand', async (t) => {
  const page = snippetsOf('proxy.md')
  t.strictSame([...page.keys()], ['register.ts', 'page.js', 'guarded.ts', 'public.ts'])
  const { api, browser } = await run(t, [page.get('register.ts'), page.get('guarded.ts')?.replace('\'stock\'', '\'orders\''), page.get('public.ts')])
  const [, path = '', headers = '{}'] = /fetch\('([^']+)', \{ headers: (\{.*?\}) \}\)/.exec(page.get('page.js') ?? '') ?? []
  t.match(await browser.get(path, JSON.parse(headers.replaceAll('\'', '"'))), { status: 200, json: { sub: 'alice', url: '/v1/orders/7' } })
  t.match(await browser.get(path), { status: 403, json: { code: 'FST_TOKEN_CSRF_HEADER' } })
  t.match(await browser.get('/api/orders/admin', { 'x-csrf': '1' }), { status: 404 })
  t.match(await new Browser(browser.origin).get('/api/stock/levels', { 'x-csrf': '1' }), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED' } })
  t.match(await browser.get('/api/stock/levels', { 'x-csrf': '1' }), { status: 200, json: { url: '/levels' } })
  t.equal(api.requests.length, 2)
  await browser.get('/pictures/1.png', { 'x-own': '1' })
  t.match(api.requests[2], { url: '/1.png', headers: { 'x-own': '1', cookie: undefined, authorization: undefined } })
})

test('docs/proxy.md: a context around the proxy has its say on answers and errors', async (t) => {
  const around = `
import { tokenProxy } from 'fastify-token-management/proxy'

await app.register(async (scope) => {
  scope.addHook('onSend', async (_request, reply) => { reply.header('x-by', 'us').removeHeader('x-of-the-api') })
  scope.setErrorHandler<{ code: string } & Error>((error, _request, reply) => reply.code(502).send({ sorry: error.code }))
  await scope.register(tokenProxy, { prefix: '/around', api: 'orders' })
})
`
  const { api, browser } = await run(t, [snippetsOf('proxy.md').get('register.ts'), around])
  api.next((_request, reply) => reply.header('x-of-the-api', '1').send({}))
  const answer = await browser.get('/around/orders', { 'x-csrf': '1' })
  t.match([answer.status, answer.headers.get('x-by'), answer.headers.get('x-of-the-api')], [200, 'us', null])
  await api.app.close()
  t.match(await browser.get('/around/orders', { 'x-csrf': '1' }), { status: 502, json: { sorry: 'FST_TOKEN_API_UNAVAILABLE' } })
})
