import { readFileSync, writeFileSync } from 'node:fs'
import { optionsModule, optionsTable } from './options-text.ts'

/** `npm run docs`: writes what is said of the options from their schema. */
writeFileSync('types/options.ts', optionsModule())
const readme = readFileSync('README.md', 'utf8')
writeFileSync('README.md', readme.replace(/(?<=<!-- options -->)[^]*(?=<!-- \/options -->)/, () => `\n${optionsTable()}\n`))
