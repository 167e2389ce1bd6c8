import { isRecord } from '../tokens/record.ts'
import type { Options } from './schema.ts'
import type { Surroundings } from './surroundings.ts'

/** What the routes of the plugin are made of. */
type PathOptions = Pick<Options, 'login' | 'logout' | 'bff'>

/** The routes of the plugin. Where Fastify puts the prefix of the context before a route, it is not in here; what the browser is told has it. */
export interface Paths {
  /** The route of the callback. */
  readonly callback: string
  /** What a proxy strips from every path, as far as `login.callbackUri` shows it; mostly nothing. */
  readonly strippedPrefix: string
  /** Where a browser logs in; `undefined` without `login`. */
  readonly login: string | undefined
  /** Where a browser logs out. */
  readonly logout: string
}

/** The paths of the options, in a context with this prefix. */
export function pathsOf ({ login, logout }: Omit<PathOptions, 'bff'>, given: string): Paths {
  const prefix = withoutSlash(given)
  const pathname = login === undefined ? '' : new URL(login.callbackUri).pathname
  const callback = login?.callbackPath ?? (pathname.startsWith(`${prefix}/`) ? pathname.slice(prefix.length) : pathname)
  const route = prefix + callback
  const strippedPrefix = pathname.endsWith(route) ? pathname.slice(0, -route.length || undefined) : ''
  return {
    // Fastify compares what a path means, and not how it is written.
    callback: decodeURI(callback),
    strippedPrefix,
    login: login && strippedPrefix + prefix + login.startRedirectPath,
    logout: strippedPrefix + prefix + (logout?.path ?? '')
  }
}

/** A provider with a name does not meet the routes of the default one. */
export function withPathsOfItsOwn (given: Record<string, unknown>): Record<string, unknown> {
  const { name = 'default', login, logout, bff } = given
  if (name === 'default') return given
  const path = `/auth/${String(name)}`
  return {
    ...given,
    ...(isRecord(login) && { login: { startRedirectPath: `${path}/login`, ...login } }),
    ...((isRecord(logout) || (isRecord(login) && logout === undefined)) && { logout: { path: `${path}/logout`, ...logout } }),
    ...(isRecord(bff) && isRecord(bff.session) && { bff: { ...bff, session: { path: `${path}/session`, ...bff.session } } })
  }
}

/** What is wrong with the routes that the options ask for. */
export function pathProblem (options: PathOptions, { prefix: given = '' }: Surroundings): string | undefined {
  const prefix = withoutSlash(given)
  const { login, logout } = options
  if (logout?.path === '/') return 'logout.path must be longer than /: the address below it leads on to the provider'
  const problem = login && callbackProblem(login, prefix)
  if (problem !== undefined) return problem
  const routes = [login && pathsOf(options, prefix).callback, login?.startRedirectPath, logout?.path, logout?.backchannelLogoutPath, options.bff.session?.path].filter((path) => path !== undefined)
  return new Set(routes).size < routes.length
    ? 'login.startRedirectPath, logout.path, logout.backchannelLogoutPath, bff.session.path and the path of login.callbackUri must differ: each is a route'
    : undefined
}

function callbackProblem ({ callbackUri, callbackPath }: NonNullable<Options['login']>, prefix: string): string | undefined {
  const { pathname } = new URL(callbackUri)
  if (!isRoutable(callbackPath ?? pathname)) return 'login.callbackUri and login.callbackPath: the path is a route, so it holds no escaped /, ?, # or %, and only what decodes as UTF-8'
  if (callbackPath !== undefined || pathname.startsWith(`${prefix}/`)) return undefined
  return `login.callbackUri has the path ${pathname}, and all routes of this context begin with ${prefix}: nobody would come to the callback. ` +
    `Give the callback a path below ${prefix}, here and at the provider; register the plugin outside of the prefix; or, behind a proxy that strips it, give the route in login.callbackPath`
}

function isRoutable (path: string): boolean {
  try {
    return !/[/?#%]/.test(decodeURIComponent(path.replaceAll('/', '')))
  } catch {
    return false
  }
}

/** As Fastify puts it before a path. */
export function withoutSlash (prefix: string): string {
  return prefix.endsWith('/') ? prefix.slice(0, -1) : prefix
}
