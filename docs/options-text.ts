import type { TSchema } from 'typebox'
import { OptionsSchema } from '../lib/options/schema.ts'

/** One option as docs/options.md and the types show it. */
export interface OptionText {
  /** `session.key` */
  readonly path: string
  readonly description: string
  /** As it is written in code; `undefined` where there is none. */
  readonly defaultText: string | undefined
  readonly required: boolean
  /** The type of what else may stand in its place. */
  readonly or: string | undefined
  readonly members: OptionText[]
}

/** The options of the schema, in its order, groups with their members. */
export function optionTexts (schema: TSchema = OptionsSchema, prefix = ''): OptionText[] {
  const { properties, required = [], patternProperties = {} } = schema as { properties?: Record<string, TSchema>, required?: string[], patternProperties?: Record<string, TSchema> }
  // A record has members of any name, and is shown with one that stands for all.
  const named = Object.values(patternProperties).filter((property) => 'properties' in property).map((property) => ['<name>', property] as const)
  return (properties === undefined ? named : Object.entries(properties)).map(([name, property]) => {
    const { description = '', default: value, or } = property as { description?: string, default?: unknown, or?: string }
    const path = prefix + name
    return {
      path,
      description,
      defaultText: typeof value === 'object' ? undefined : typeof value === 'function' ? 'the system\'s' : JSON.stringify(value)?.replaceAll('"', '\''),
      required: required.includes(name) && value === undefined,
      or,
      members: optionTexts(property, `${path}.`)
    }
  })
}

/** The table of docs/options.md: one row an option, and other pages as links. */
export function optionsTable (texts: OptionText[] = optionTexts()): string {
  const row = ({ path, description, defaultText, required }: OptionText) =>
    `| \`${path}\` | ${required ? 'required' : defaultText === undefined ? '' : `\`${defaultText}\``} | ${linked(description)} |`
  const rows = (text: OptionText): string[] => [row(text), ...text.members.flatMap(rows)]
  return ['| option | default | |', '| --- | --- | --- |', ...texts.flatMap(rows)].join('\n')
}

function linked (description: string): string {
  return description.replace(/docs\/([\w-]+\.md)/g, '[docs/$1]($1)').replace('SECURITY.md', '[SECURITY.md](../SECURITY.md#when-a-refresh-token-comes-back-that-somebody-else-has-spent)')
}

/** `types/options.ts`: the same, for editors. */
export function optionsModule (texts: OptionText[] = optionTexts()): string {
  return [
    '// Written by `npm run docs` from lib/options/schema.ts: change it there.',
    'import type { Options } from \'../lib/options/schema.ts\'',
    '',
    '/** The options of the plugin. All times are in seconds. */',
    'export interface TokenManagementOptions {',
    ...texts.flatMap((text) => member(text, '  ')),
    '}',
    ''
  ].join('\n')
}

function member ({ path, description, defaultText, required, or, members }: OptionText, indent: string): string[] {
  const name = path.split('.').at(-1)
  const mark = required ? '' : '?'
  const comment = `${indent}/** ${description}${defaultText === undefined ? '' : ` Default: \`${defaultText}\`.`} */`
  if (members.length === 0) return [comment, `${indent}${name}${mark}: ${typeOf(path)}`]
  const key = name === '<name>' ? '[name: string]' : `${name}${mark}`
  return [comment, `${indent}${key}: ${or === undefined ? '' : `${or} | `}{`, ...members.flatMap((one) => member(one, `${indent}  `)), `${indent}}`]
}

function typeOf (path: string): string {
  return path.split('.').reduce((type, name, depth) => depth === 0 ? `Options['${name}']` : `NonNullable<${type}>[${name === '<name>' ? 'string' : `'${name}'`}]`, '')
}
