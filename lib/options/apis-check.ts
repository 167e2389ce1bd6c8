import { exchangeParameters } from '../tokens/token-exchange.ts'
import { isResource, isScopeToken } from '../tokens/token-wish.ts'
import type { ApiTokenKind, Options } from './schema.ts'
import { isSecureUrl } from './secure-url.ts'
import type { Surroundings } from './surroundings.ts'

type Api = Options['apis'][string]

/** Whose token may be asked for where an API is to get one of this kind. */
const OWNERS: Readonly<Record<ApiTokenKind, ReadonlyArray<'user' | 'client'>>> = {
  user: ['user'],
  client: ['client'],
  'user-or-client': ['user', 'client'],
  'user-or-none': ['user'],
  none: []
}

/** What is wrong with the options that say which APIs are called, and with whose token. */
export function apisProblem ({ apis, clients, allowInsecureRequests }: Options, { apis: taken = [], clients: others }: Surroundings): string | undefined {
  const known = [...Object.keys(clients), ...others]
  for (const [name, api] of Object.entries(apis)) {
    const problem = taken.includes(name)
      ? ': another registration has an API of that name'
      : originProblem(api, allowInsecureRequests) ?? clientProblem(api, known) ?? wishProblem(api)
    if (problem !== undefined) return `apis.${name}${problem}`
  }
  return undefined
}

function originProblem ({ origin }: Api, allowed: readonly string[]): string | undefined {
  if (!URL.canParse(origin) || new URL(origin).origin !== origin) return '.origin must be an origin, such as https://orders.internal: no path, no slash at the end, no user'
  return isSecureUrl(origin, allowed) ? undefined : '.origin must be https (plain http only on loopback). For any other, list it in allowInsecureRequests'
}

function clientProblem ({ token, client }: Api, known: readonly string[]): string | undefined {
  const takesClient = OWNERS[token].includes('client')
  if (client === undefined) return takesClient ? `.client is required with token: '${token}': a name of the option clients` : undefined
  if (!takesClient) return `.client: no client's token goes to this API, since its token is '${token}'`
  return known.includes(client) ? undefined : `.client: there is no client ${client}. Declared in the option clients: ${known.join(', ') || 'none'}`
}

function wishProblem ({ token, resource, scope = [], exchange }: Api): string | undefined {
  const asked = Object.entries({ resource, scope: scope[0], exchange }).find(([, value]) => value !== undefined)?.[0]
  if (asked !== undefined && OWNERS[token].length === 0) return `.${asked}: this API gets no token`
  if (exchange !== undefined && !OWNERS[token].includes('user')) return '.exchange: only a user\'s token is exchanged'
  if (resource !== undefined && !isResource(resource)) return '.resource must be an absolute URI without a fragment'
  if (!scope.every(isScopeToken)) return '.scope must be scope tokens, each by itself (RFC 6749 §3.3)'
  try {
    if (exchange !== undefined) exchangeParameters(exchange)
    return undefined
  } catch (error) {
    return `.exchange: ${error instanceof Error ? error.message : 'unknown'}`
  }
}
