import { readFileSync, writeFileSync } from 'node:fs'
import { optionsModule, optionsTable } from './options-text.ts'

/** `npm run docs`: writes what is said of the options from their schema. */
writeFileSync('types/options.ts', optionsModule())
const page = readFileSync('docs/options.md', 'utf8')
writeFileSync('docs/options.md', page.replace(/(?<=<!-- options -->)[^]*(?=<!-- \/options -->)/, () => `\n${optionsTable()}\n`))
