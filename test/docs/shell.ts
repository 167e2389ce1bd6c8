import { existsSync, readFileSync } from 'node:fs'
import type { Block } from './blocks.ts'

const { name, scripts, dependencies, devDependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
const packages = new Set([name, ...Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies })])

/** The commands of a block that are none: a script, a package or a file that there is not, or a program that nobody here knows. `names` are those of the page's other blocks. */
export function wrongCommands ({ text }: Block, names: string[]): string[] {
  const commands = text.split(/\n|&&|\|/).map((line) => line.replace(/#.*/, '').trim().replace(/^(?:[A-Z_]+=\S* +)+/, '')).filter((command) => command !== '')
  return commands.filter((command) => {
    const [program = '', verb = '', ...words] = command.split(/ +/).filter((word) => !word.startsWith('-'))
    if (program === 'npm' && verb === 'install') return !words.every((word) => packages.has(word))
    if (program === 'npm') return !['ci', 'init', 'pkg'].includes(verb) && !((verb === 'run' ? words[0] ?? '' : verb) in scripts)
    if (program === 'npx') return !packages.has(verb) && !existsSync(`node_modules/.bin/${verb}`)
    if (program === 'bash' || program === 'node') return !existsSync(verb) && !names.includes(verb)
    return program !== 'base64'
  })
}
