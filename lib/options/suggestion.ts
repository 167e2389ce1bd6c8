import type { TSchema } from 'typebox'
import { isRecord } from '../tokens/record.ts'

/** What RFCs, other libraries and habit call what is an option here under another name. In lower case, letters only. */
const KNOWN_AS: Readonly<Record<string, string>> = {
  authority: 'issuer',
  discoveryurl: 'issuer',
  issuerbaseurl: 'issuer',
  issuerurl: 'issuer',
  callback: 'login.callbackUri',
  callbackurl: 'login.callbackUri',
  redirecturi: 'login.callbackUri',
  redirecturl: 'login.callbackUri',
  secret: 'session.key, or clientSecret',
  scopes: 'login.scope',
  clockskew: 'clockTolerance',
  maxage: 'session.absoluteDuration',
  ttl: 'session.absoluteDuration',
  dispatcher: 'backchannel',
  timeout: 'requestTimeout'
}

/** So many letters in common are no chance. */
const ENOUGH = 4

/**
 * The option that somebody may have meant: one that is spelled otherwise, is in another place, goes by another name elsewhere, or
 * begins as it does.
 *
 * @param schema - of all options.
 * @param group - where the unknown name stands: `['login']`.
 */
export function suggestion (schema: TSchema, group: readonly string[], unknown: string): string | undefined {
  const wanted = letters(unknown)
  const siblings = membersOf(group.reduce(memberOf, schema)).map((name) => [...group, name].join('.'))
  const everywhere = pathsIn(schema)
  const isSame = (path: string): boolean => letters(leaf(path)) === wanted
  return siblings.find(isSame) ?? (Object.hasOwn(KNOWN_AS, wanted) ? KNOWN_AS[wanted] : undefined) ?? everywhere.find(isSame) ?? longestBeginning(siblings, wanted)
}

function longestBeginning (paths: readonly string[], wanted: string): string | undefined {
  const rated = paths.map((path) => ({ path, shared: sharedBeginning(letters(leaf(path)), wanted) }))
  const best = Math.max(...rated.map(({ shared }) => shared))
  return best >= ENOUGH && best > wanted.length / 2 ? rated.find(({ shared }) => shared === best)?.path : undefined
}

function sharedBeginning (one: string, other: string): number {
  const end = [...one].findIndex((letter, index) => letter !== other[index])
  return end === -1 ? one.length : end
}

/** `client_id`, `clientID` and `clientId` are one. */
function letters (name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, '')
}

function leaf (path: string): string {
  return path.slice(path.lastIndexOf('.') + 1)
}

/** The paths of all options, the nearest to the root first; what the app names itself (`clients`, `apis`) is not gone into. */
function pathsIn (schema: unknown, prefix = ''): string[] {
  const names = membersOf(schema)
  return [...names.map((name) => prefix + name), ...names.flatMap((name) => pathsIn(memberOf(schema, name), `${prefix}${name}.`))]
}

function membersOf (schema: unknown): string[] {
  return isRecord(schema) && isRecord(schema.properties) ? Object.keys(schema.properties) : []
}

/** Of an object the member of this name; of a record what all its members are. */
function memberOf (schema: unknown, name: string): unknown {
  if (!isRecord(schema)) return undefined
  if (isRecord(schema.properties)) return schema.properties[name]
  return isRecord(schema.patternProperties) ? Object.values(schema.patternProperties)[0] : undefined
}
