import type { HTTPMethods } from 'fastify'
import { InvalidOptions } from '../errors.ts'
import type { Api } from '../outbound/api.ts'
import type { ApiName } from '../outbound/names.ts'

/** What of an API is let through. */
export interface AllowedRoute {
  /** As Fastify's routes are written, from the prefix on: `/orders/:id`, `/files/*`. */
  readonly path: string
  /** Default: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT. */
  readonly methods?: readonly HTTPMethods[]
}

/** The options of `tokenProxy`. */
export interface TokenProxyOptions {
  /** Where its routes begin: Fastify's own option. */
  readonly prefix?: string
  /** A name of the option `apis`, which says where the API is and whose token it gets. */
  readonly api: ApiName
  /** What stands at the API in place of the prefix: `/v1`. Default: nothing. */
  readonly rewritePrefix?: string
  /** The only paths and methods that go on; what is not listed has no route. Default: all below the prefix. */
  readonly allow?: readonly AllowedRoute[]
  /** `false`: takes requests that a page of another site may have sent. Only where no cookie decides whose token goes along. Default: `true`. */
  readonly csrf?: boolean
  /** WebSockets go on, too. A handshake has to come from a page of the app. Default: `false`. */
  readonly websocket?: boolean
  /** `Set-Cookie` of the API reaches the browser. Default: `false`. */
  readonly setCookie?: boolean
}

const KNOWN = ['prefix', 'logLevel', 'logSerializers', 'api', 'rewritePrefix', 'allow', 'csrf', 'websocket', 'setCookie']

/** @throws FST_TOKEN_INVALID_OPTIONS */
export function checkProxyOptions (options: TokenProxyOptions, apis: ReadonlyMap<string, Api>): Api {
  const problem = problemOf(options)
  if (problem !== undefined) throw new InvalidOptions(`tokenProxy: ${problem}`)
  const api = apis.get(options.api)
  if (api === undefined) throw new InvalidOptions(`tokenProxy: api: there is no API ${String(options.api)}. Declared in the option apis: ${[...apis.keys()].join(', ') || 'none'}. Register fastify-token-management before, in this context or one around it`)
  return api
}

function problemOf ({ rewritePrefix = '', allow, ...options }: TokenProxyOptions): string | undefined {
  const unknown = Object.keys(options).find((name) => !KNOWN.includes(name))
  if (unknown !== undefined) return `${unknown}: no such option`
  const notBoolean = Object.entries({ csrf: options.csrf, websocket: options.websocket, setCookie: options.setCookie }).find(([, value]) => value !== undefined && typeof value !== 'boolean')
  if (notBoolean !== undefined) return `${notBoolean[0]} must be boolean`
  if (!/^(?:\/[\w.~!$&'()*+,=@-]+)*$/.test(rewritePrefix) || /\/\.{1,2}(?:\/|$)/.test(rewritePrefix)) return 'rewritePrefix must be a path without a slash at the end, such as /v1'
  if (allow !== undefined && (!Array.isArray(allow) || allow.length === 0)) return 'allow must be a list of { path, methods }, and not empty'
  const index = allow?.findIndex(({ path, methods }) => typeof path !== 'string' || !path.startsWith('/') || (methods !== undefined && !(Array.isArray(methods) && methods.length > 0)))
  return index === undefined || index === -1 ? undefined : `allow.${index} must be { path, methods }: a path that begins with /, and a list of methods that is not empty`
}
