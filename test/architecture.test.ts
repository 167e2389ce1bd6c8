import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, posix } from 'node:path'
import t from 'tap'
import ts from 'typescript'

/** Every folder of lib, and every file beside the folders, and its floor: it imports only from lower floors. */
const floors: Record<string, number> = {
  'lib/index.ts': 10,
  'lib/proxy.ts': 10,
  'lib/redis.ts': 10,
  'lib/testing.ts': 10,
  'types/fastify.ts': 10,
  'types/options.ts': 10,
  'lib/login/': 9,
  'lib/bff/': 9,
  'lib/request/': 8,
  'lib/outbound/': 7,
  'lib/provider.ts': 7,
  'lib/cached-tokens/': 6,
  'lib/refresh/': 5,
  'lib/redis/': 6,
  'lib/testing/': 5,
  'lib/stores/': 4,
  'lib/token-service/': 4,
  'lib/options/': 3,
  'lib/tokens/': 2,
  'lib/errors.ts': 1,
  'lib/diagnostics.ts': 1
}

interface Packages { dependencies: string[], peers: string[] }
/** Paths from the root of the repo, each with what it imports: such paths too, or the names of packages. */
type Imports = Record<string, string[]>

const isFile = (target: string) => /^(\.\.|lib|types|test|examples)\//.test(target)
const folderOf = (file: string) => file.split('/').length > 2 ? file.split('/').slice(0, 2).join('/') : undefined
const packageOf = (specifier: string) => specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
const floorOf = (file: string) => floors[file] ?? floors[`${folderOf(file)}/`]

/** Everything that is wrong with these imports, in sentences; type-only imports count like the others. */
function judge (imports: Imports, { dependencies, peers }: Packages): string[] {
  const problems: string[] = []
  for (const [file, targets] of Object.entries(imports)) {
    const floor = floorOf(file)
    if (floor === undefined) problems.push(`${file} has no floor: give it a floor in test/architecture.test.ts`)
    for (const target of targets) {
      if (!isFile(target)) {
        if (!isBuiltin(target)) {
          if (![...dependencies, ...peers].includes(packageOf(target))) problems.push(`${file} imports ${target}, which is neither a dependency nor a peer`)
        } else if (!target.startsWith('node:')) problems.push(`${file} imports ${target} without node:`)
        continue
      }
      if (target in floors && target.startsWith('types/')) {
        if (file !== 'lib/index.ts') problems.push(`${file} imports ${target}, which is for lib/index.ts only`)
        continue
      }
      const below = floorOf(target)
      if (!target.startsWith('lib/')) problems.push(`${file} imports ${target}, which is outside lib`)
      else if (floor === undefined || below === undefined) continue // said above, at the file itself
      else if (below > floor) problems.push(`${file} (floor ${floor}) imports upward: ${target} (floor ${below})`)
      else if (below === floor && folderOf(file) && folderOf(target) && folderOf(file) !== folderOf(target)) problems.push(`${file} imports ${target}: folders of one floor do not know each other`)
    }
  }
  return [...problems, ...circles(imports).map((circle) => `a circle: ${circle.join(' → ')}`)]
}

/** Each circle once, at the file by which the search came in. */
function circles (imports: Imports): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file])
    else if (!done.has(file)) {
      for (const target of imports[file] ?? []) visit(target, [...path, file])
      done.add(file)
    }
  }
  for (const file of Object.keys(imports)) visit(file, [])
  return found
}

const root = join(import.meta.dirname, '..')
const readImports = (file: string) => ts.preProcessFile(readFileSync(join(root, file), 'utf8'), true, true).importedFiles
  .map(({ fileName }) => fileName.startsWith('.') ? posix.join(posix.dirname(file), fileName) : fileName)
const files = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => `lib/${name}`)
const types = Object.keys(floors).filter((file) => file.startsWith('types/'))
const house: Imports = Object.fromEntries([...files, ...types].map((file) => [file, readImports(file)]))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const packages: Packages = { dependencies: Object.keys(manifest.dependencies), peers: Object.keys(manifest.peerDependencies) }

t.test('the files of lib import only from lower floors, without a circle', async (t) => {
  t.ok(files.length > 0, 'there are files to judge')
  t.strictSame(judge(house, packages), [])
})

t.test('every runtime dependency is imported by lib', async (t) => {
  const used = new Set(Object.values(house).flat().map(packageOf))
  t.strictSame(packages.dependencies.filter((name) => !used.has(name)), [])
})

t.test('every file of lib can be reached from an entry point, so that none is left out of the coverage', async (t) => {
  const entries = Object.values<string | { default: string }>(manifest.exports)
    .map((entry) => typeof entry === 'string' ? entry : entry.default)
    .filter((path) => path.startsWith('./dist/')).map((path) => path.replace('./dist/', '').replace(/\.js$/, '.ts'))
  const reached = new Set(entries)
  for (const file of reached) house[file]?.forEach((target) => reached.add(target)) // a Set's loop meets what is added meanwhile
  t.strictSame(files.filter((file) => !reached.has(file)), [])
})

t.test('the judge refuses what the house forbids', async (t) => {
  const refuses = (imports: Imports, ...problems: RegExp[]) => t.match(judge(imports, packages), problems, String(problems))
  const stores = 'lib/stores/store-registry.ts'
  refuses({ 'lib/tokens/token-set.ts': ['lib/request/accessor.ts'], 'lib/request/accessor.ts': [] }, /token-set\.ts \(floor 2\) imports upward: lib\/request\/accessor\.ts \(floor 8\)/)
  refuses({ 'lib/provider.ts': ['lib/request/accessor.ts'], 'lib/request/accessor.ts': ['lib/provider.ts'] }, /imports upward/, /a circle: lib\/provider\.ts → lib\/request\/accessor\.ts → lib\/provider\.ts/)
  refuses({ [stores]: ['lib/stores/cookie/a.ts'], 'lib/stores/cookie/a.ts': ['lib/stores/b.ts'], 'lib/stores/b.ts': ['lib/stores/cookie/a.ts'] }, /a circle: lib\/stores\/cookie\/a\.ts → /)
  refuses({ [stores]: ['lib/token-service/dpop.ts'] }, /folders of one floor do not know each other/)
  refuses({ 'lib/newcomer.ts': [] }, /newcomer\.ts has no floor: give it a floor/)
  refuses({ [stores]: ['types/fastify.ts'] }, /for lib\/index\.ts only/)
  refuses({ [stores]: ['test/clock.ts'] }, /outside lib/)
  refuses({ [stores]: ['examples/bff/main.ts'] }, /outside lib/)
  refuses({ [stores]: ['@fastify/sensible/x.js'] }, /neither a dependency nor a peer/)
  refuses({ [stores]: ['crypto'] }, /without node:/)
  t.strictSame(judge({ [stores]: ['lib/errors.ts', 'node:crypto', 'fastify', 'typebox/value', 'lib/stores/cookie/a.ts'] }, packages), [], 'and nothing else')
})
