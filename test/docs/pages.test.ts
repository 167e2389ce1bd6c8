import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parseDocument } from 'yaml'
import { type Block, blocksOf, pages } from './blocks.ts'
import { compile } from './compile.ts'
import { deadLinks, linksOf } from './links.ts'
import { membersOf } from './members.ts'
import { wrongCommands } from './shell.ts'

const blocks = pages.flatMap(blocksOf)
const compiled = ['ts', 'js']

/** Blocks that only a run can hold, and the test that runs them, which names their page. */
const runBy: Record<string, string> = {
  'docs/client-authentication.md sh': 'test/token-service/client-authentication-docs.test.ts',
  'docs/fastify-cli.md ini': 'test/docs/projects.test.ts',
  'docs/login.md html': 'test/login/chromium.test.ts',
  'docs/server-rendered.md html': 'test/docs/tasks.test.ts'
}

test('every snippet of TypeScript and JavaScript compiles strictly as it stands, and what does not is told by page and line', async (t) => {
  const wrong = (line: number, language: string, text: string): Block => ({ page: 'docs/wrong.md', line, language, name: undefined, text })
  const real = blocks.filter(({ language }) => compiled.includes(language))
  t.ok(real.length > 50, `${real.length} snippets`)
  const problems = compile([
    ...real,
    wrong(10, 'ts', 'import tokenManagement from \'fastify-token-management\'\n\nawait app.register(tokenManagement, { ...options, refreshTokens: true })\n'),
    wrong(20, 'ts', 'app.get(\'/\', async (request) => await request.tokens.destroy())\n'),
    wrong(30, 'ts', 'import { redisSessionStore } from \'fastify-token-management/redis\'\n'),
    wrong(40, 'js', 'const session = await fetch(\'/auth/session\').body()\n'),
    wrong(50, 'js', 'import tokens from \'fastify-token-managment\'\n')
  ])
  t.strictSame(problems.filter((problem) => !problem.startsWith('docs/wrong.md:')), [])
  const told = [/^docs\/wrong\.md:13:\d+ .*'refreshTokens' does not exist/, /^docs\/wrong\.md:21:\d+ .*'destroy' does not exist/, /^docs\/wrong\.md:31:\d+ .*'redisSessionStore'/,
    /^docs\/wrong\.md:41:\d+ .*'body' does not exist/, /^docs\/wrong\.md:51:\d+ .*'fastify-token-managment'/]
  for (const one of told) t.ok(problems.some((problem) => one.test(problem)), String(one))
})

test('every other block is parsed, or its commands are known, or a test that names its page runs it', async (t) => {
  for (const { page, line, language, text } of blocks.filter(({ language }) => !compiled.includes(language))) {
    const where = `${page}:${line}`
    const by = runBy[`${page} ${language}`]
    if (by !== undefined) t.ok(existsSync(by) && readFileSync(by, 'utf8').includes(page), `${where} is run by ${by}`)
    else if (language === 'json') t.doesNotThrow(() => JSON.parse(text), where)
    else if (language === 'yaml') t.strictSame(parseDocument(text).errors.map(({ message }) => message), [], where)
    else if (language === 'sh') t.strictSame(wrongCommands({ page, line, language, text, name: undefined }, blocksOf(page).flatMap(({ name }) => name ?? [])), [], where)
    else t.fail(`${where}: nothing holds a block of the language '${language}'. Name the test that runs it in test/docs/pages.test.ts`)
  }
  for (const key of Object.keys(runBy)) t.ok(blocks.some(({ page, language }) => `${page} ${language}` === key), `${key} is there`)
})

test('every link of every page leads to a file that is there, and to a heading of it', async (t) => {
  for (const page of [...pages, 'CHANGELOG.md']) t.strictSame(deadLinks('.', page), [], page)
  t.ok(pages.flatMap((page) => linksOf(readFileSync(page, 'utf8'))).length > 60)
})

test('the index has every page once, and nothing else of docs', async (t) => {
  const index = linksOf(readFileSync('docs/README.md', 'utf8')).filter((target) => !target.startsWith('../'))
  t.strictSame(index.map((target) => `docs/${target}`).sort(), pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md').sort())
})

test('docs/api.md names all that there is on requests, the app and the reply', async (t) => {
  const page = readFileSync('docs/api.md', 'utf8')
  const added = [['app', 'FastifyInstance'], ['request', 'FastifyRequest'], ['reply', 'FastifyReply']].flatMap(([on, name = '']) => [...membersOf('types/fastify.ts', name).keys()].map((member) => `${on}.${member}`))
  const names = [...added, ...[...membersOf('lib/request/tokens.ts', 'Tokens').keys()].map((member) => `request.tokens.${member}`)]
  t.ok(names.length > 15, names.join())
  for (const name of names) t.ok(new RegExp(`\`${name}\\b`).test(page), name)
})

test('docs/custom-store.md shows the interface of a store as it is', async (t) => {
  const [shown = ''] = blocksOf('docs/custom-store.md').flatMap(({ text }) => text.includes('interface TokenStore {') ? text : [])
  const sorted = (members: Map<string, string>) => [...members.values()].sort()
  t.strictSame(sorted(membersOf('snippet.ts', 'TokenStore', shown)), sorted(membersOf('lib/tokens/token-store.ts', 'TokenStore')))
})

test('every npm script that a page names is one', async (t) => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  for (const page of pages) {
    for (const [, script = ''] of readFileSync(page, 'utf8').matchAll(/npm run ([\w:]+)/g)) t.ok(script in scripts, `${page}: npm run ${script}`)
  }
})

test('every page that lib or the types name, in a message or a comment, is there', async (t) => {
  const files = ['lib', 'types'].flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))).filter((name) => name.endsWith('.ts'))
  const named = new Set(files.flatMap((file) => readFileSync(file, 'utf8').match(/\b(?:docs\/[\w-]+|[A-Z]{6,})\.md\b/g) ?? []))
  t.ok(named.size > 8, [...named].join())
  for (const page of named) t.ok(existsSync(page), page)
})
