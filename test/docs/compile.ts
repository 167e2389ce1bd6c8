import { join } from 'node:path'
import ts from 'typescript'
import type { Block } from './blocks.ts'

const root = process.cwd()
const given = (name: string) => join(root, `test/docs/given/${name}.d.ts`)
const { options: own } = ts.parseJsonConfigFileContent(ts.readConfigFile('tsconfig.json', ts.sys.readFile).config, ts.sys, root)
const strict: ts.CompilerOptions = { ...own, noUnusedLocals: false, noUnusedParameters: false, moduleDetection: ts.ModuleDetectionKind.Force, allowJs: true, checkJs: true }

/** Where a block runs, what it is compiled with, and what it need not import. JavaScript has no types for its parameters. */
const places = {
  server: { options: strict, given: [given('app'), given('packages')] },
  serverInJavaScript: { options: { ...strict, noImplicitAny: false }, given: [given('app'), given('packages')] },
  page: { options: { ...strict, noImplicitAny: false, lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'], types: [] }, given: [given('page')] }
}

function placeOf ({ language, text }: Block): keyof typeof places {
  if (language === 'ts') return 'server'
  return /^(import|export) |require\(/m.test(text) ? 'serverInJavaScript' : 'page'
}

/** What the compiler has against blocks of TypeScript and JavaScript: `docs/login.md:12:5 …`. */
export function compile (blocks: Block[]): string[] {
  // What a page adds to the types of a module it adds for itself.
  const augmenting = new Set(blocks.filter(({ text }) => text.includes('declare module')).map(({ page }) => page))
  const programs = new Map<string, { place: keyof typeof places, together: Block[] }>()
  for (const block of blocks) {
    const place = placeOf(block)
    const key = `${place} ${augmenting.has(block.page) ? block.page : 'all other pages'}`
    const program = programs.get(key) ?? { place, together: [] }
    program.together.push(block)
    programs.set(key, program)
  }
  return [...programs.values()].flatMap(({ place, together }) => problemsOf(together, place))
}

const parsed = new Map<string, ts.SourceFile | undefined>()

function problemsOf (blocks: Block[], place: keyof typeof places): string[] {
  const { options, given } = places[place]
  const host = ts.createCompilerHost(options)
  // Each is a file in a folder of the name of its page, with its lines where they are in the page.
  const files = new Map(blocks.map((block) => [join(root, block.page.replace(/\.md$/, ''), block.name ?? `${block.line}.${block.language}`), block]))
  const folders = [...files.keys()].map((file) => join(file, '..'))
  const { fileExists, readFile, directoryExists, getSourceFile } = host
  host.fileExists = (file) => files.has(file) || fileExists(file)
  host.directoryExists = (folder) => folders.some((one) => one === folder || one.startsWith(`${folder}/`)) || directoryExists?.(folder) === true
  host.readFile = (file) => {
    const block = files.get(file)
    return block === undefined ? readFile(file) : '\n'.repeat(block.line) + block.text
  }
  host.getSourceFile = (file, languageVersionOrOptions) => {
    if (files.has(file)) return getSourceFile(file, languageVersionOrOptions)
    if (!parsed.has(file)) parsed.set(file, getSourceFile(file, languageVersionOrOptions))
    return parsed.get(file)
  }
  const program = ts.createProgram([...given, ...files.keys()], options, host)
  const diagnostics = [...given, ...files.keys()].flatMap((file) => {
    const source = program.getSourceFile(file)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  })
  return [...program.getOptionsDiagnostics(), ...diagnostics].map(({ file, start = 0, messageText }) => {
    const { line = 0, character = 0 } = file?.getLineAndCharacterOfPosition(start) ?? {}
    const where = file === undefined ? '' : `${files.get(file.fileName)?.page ?? file.fileName}:${line + 1}:${character + 1} `
    return where + ts.flattenDiagnosticMessageText(messageText, ' ')
  })
}
