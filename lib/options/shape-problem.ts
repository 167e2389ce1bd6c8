import type { TLocalizedValidationError } from 'typebox/error'
import { Value } from 'typebox/value'
import { OptionsSchema } from './schema.ts'
import { suggestion } from './suggestion.ts'

/** The first thing that the schema has against the options, in words. */
export function shapeProblem (candidate: unknown): string {
  const errors = Value.Errors(OptionsSchema, candidate)
  const unknown = errors.find((error) => error.keyword === 'additionalProperties')
  if (unknown?.keyword === 'additionalProperties') {
    const names = unknown.params.additionalProperties
    const paths = names.map((name) => dotted(`${unknown.instancePath}/${name}`))
    const group = unknown.instancePath.split('/').slice(1)
    const meant = names.flatMap((name) => suggestion(OptionsSchema, group, name) ?? [])
    return `${paths.join(', ')}: no such option. ${meant.length > 0 ? `Did you mean ${meant.join(', ')}?` : 'Remove it, or see docs/options.md for its name'}`
  }
  const first = mostExact(errors)
  if (first?.keyword === 'required') {
    const paths = first.params.requiredProperties.map((name) => dotted(`${first.instancePath}/${name}`))
    return `${paths.join(', ')} ${paths.length > 1 ? 'are' : 'is'} required`
  }
  if (first?.keyword === 'type' && first.params.type === 'array') {
    return `${dotted(first.instancePath)} must be a list${first.instancePath.endsWith('/scope') ? ', such as [\'openid\', \'offline_access\']' : ''}`
  }
  const allowed = errors.flatMap((error) => error.instancePath === first?.instancePath && error.keyword === 'const' ? [`'${String(error.params.allowedValue)}'`] : [])
  const message = allowed.length > 0 ? `must be one of ${allowed.join(', ')}` : first?.message.replace('be string', 'be text') ?? 'are wrong'
  return `${dotted(first?.instancePath ?? '') || 'the options'} ${message}`
}

/** Of an option that may be one thing or another, the error that is inside of one: somebody meant that. */
function mostExact (errors: TLocalizedValidationError[]): TLocalizedValidationError | undefined {
  const [first] = errors
  return errors.find(({ instancePath }) => instancePath.startsWith(`${first?.instancePath}/`)) ?? first
}

function dotted (instancePath: string): string {
  return instancePath.slice(1).replaceAll('/', '.')
}
