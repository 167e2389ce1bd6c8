import { readdirSync, readFileSync } from 'node:fs'

export const pages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'bench/README.md', ...readdirSync('docs').filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]

/** A fenced block. */
export interface Block {
  readonly page: string
  /** Of the fence that opens it, from 1. */
  readonly line: number
  readonly language: string
  /** `<!-- register.ts -->` before the fence: other blocks of the page import it as `./register.ts`. */
  readonly name: string | undefined
  readonly text: string
}

/** The blocks of a page; of one in a list without the list's indent. */
export function blocksOf (page: string): Block[] {
  const text = readFileSync(page, 'utf8')
  const blocks = [...text.matchAll(/(?:^ *<!-- ([\w./-]+) -->\n)?^( *)```([^\n]*)\n([^]*?)^ *```$/gm)]
  if (blocks.length * 2 !== [...text.matchAll(/^ *```/gm)].length) throw new Error(`${page}: a block has no end`)
  return blocks.map(({ 0: whole, 1: name, 2: indent = '', 3: language = '', 4: code = '', index }) => ({
    page,
    line: text.slice(0, index + whole.indexOf('```')).split('\n').length,
    language,
    name,
    text: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
  }))
}
