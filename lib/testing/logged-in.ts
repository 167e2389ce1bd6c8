import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import type { TokenSet } from '../tokens/token-set.ts'
import { CookieJar } from './cookie-jar.ts'
import { entranceOf, openEntrances, visiting } from './entrance.ts'
import { loginAnswer, type TestLogin } from './login-answer.ts'

openEntrances()

/** A Fastify app. */
export interface TestedApp {
  readonly server: object
  ready (): PromiseLike<unknown>
  inject (options: InjectOptions): Promise<LightMyRequestResponse>
}

/** Who is logged in, with which tokens, and where. */
export interface LoggedInOptions extends TestLogin {
  /** The `name` of a registration. Default: the first. */
  readonly provider?: string
  /** Passed through to the token store. */
  readonly context?: unknown
  /** The cookies that the browser has already: `cookie` of somebody who is logged in at another provider, say. */
  readonly cookie?: string
}

/** A browser in which somebody is logged in. */
export interface LoggedIn {
  /** Its cookies, as the header `Cookie` has them: what they are now, for clients other than `inject`. */
  readonly cookie: string
  /** `app.inject()` with its cookies; those that are set or deleted in the answer are so in the browser. */
  readonly inject: (options: InjectOptions | string) => Promise<LightMyRequestResponse>
}

/** What an id_token has in any case, whether or not the app keeps it. */
const UNASKED = ['iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nonce']

/** By https, as Secure cookies may have it: for apps with `trustProxy`. */
const byHttps = { 'x-forwarded-proto': 'https' }

/**
 * Logs somebody in without a provider: makes a session as a login does, in the store and with the keys of the app, in all
 * that is asked of it no other than one of production. Nobody can do that by a request: it takes this call, in the process
 * of the app.
 *
 * @param app - built after `fastify-token-management/testing` was imported.
 * @throws Error where the app lets no tests in, a hook keeps it from the plugin, or a claim would not be kept; FST_TOKEN_UNKNOWN_PROVIDER;
 * and what `request.tokens.save()` throws.
 * @example
 * const { inject } = await loggedIn(app, { claims: { sub: 'alice' } })
 * const response = await inject('/orders')
 */
export async function loggedIn (app: TestedApp, options: LoggedInOptions = {}): Promise<LoggedIn> {
  await app.ready()
  const { path, provider } = entranceOf(app.server, options.provider)
  const { dpopKey, ...answer } = await loginAnswer(options, provider)
  const jar = CookieJar.from(options.cookie)
  let outcome: { tokens: TokenSet } | { error: unknown } | undefined
  const response = await visiting(async (request) => {
    Object.assign(request.raw.socket, { encrypted: true }) // the same for apps without `trustProxy`
    try {
      outcome = { tokens: await request.tokens.save(answer, { provider: provider.name, context: options.context, ...dpopKey && { dpopKey } }) }
    } catch (error) {
      outcome = { error }
    }
  }, () => send(app, jar, { url: path, headers: byHttps }))
  if (outcome === undefined) throw new Error(`Nobody is logged in: a hook that the app adds before fastify-token-management has answered with ${response.statusCode}: ${response.body}`)
  if ('error' in outcome) throw outcome.error
  checkClaims(options.claims, outcome.tokens)
  return {
    get cookie () { return jar.header },
    inject: async (given) => await send(app, jar, typeof given === 'string' ? { url: given } : given)
  }
}

async function send (app: TestedApp, jar: CookieJar, { headers = {}, ...options }: InjectOptions): Promise<LightMyRequestResponse> {
  const { cookie: own, ...others } = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const cookie = [jar.header, own].filter(Boolean).join('; ')
  const response = await app.inject({ ...options, headers: { ...jar.isSecure && byHttps, ...others, ...cookie !== '' && { cookie } } })
  jar.keep(response.headers['set-cookie'])
  return response
}

/** A test that goes by more than the app gets in production says nothing. */
function checkClaims (asked: Readonly<Record<string, unknown>> = {}, { claims = {} }: TokenSet): void {
  const lost = Object.keys(asked).filter((name) => !UNASKED.includes(name) && !Object.hasOwn(claims, name))
  if (lost.length > 0) throw new Error(`The app does not keep these claims, so that no request would find them: ${lost.join(', ')}. Name them in its option session.claims, or leave them out here`)
}
