import type { TokenSet } from '../tokens/token-set.ts'
import { browser, byHttps, type TestBrowser, type TestedApp } from './browser.ts'
import { entranceOf, openEntrances, visiting } from './entrance.ts'
import { loginAnswer, type TestLogin } from './login-answer.ts'

openEntrances()

/** Who is logged in, with which tokens, and where. */
export interface LoggedInOptions extends TestLogin {
  /** The `name` of a registration. Default: the first. */
  readonly provider?: string
  /** What the access token was asked for with (RFC 8707). Default: the first of the app's option `login.resource`. */
  readonly resource?: string
  /** Passed through to the token store. */
  readonly context?: unknown
  /** Where: in one in which somebody is logged in at another provider, say. Default: a new one. */
  readonly browser?: TestBrowser
}

/** What an id_token has in any case, whether or not the app keeps it. */
const UNASKED = ['iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nonce']

/**
 * Logs somebody in without a provider: makes a session as a login does, in the store and with the keys of the app. Nobody can
 * do that by a request: it takes this call, in the process of the app.
 *
 * @param app - built after `fastify-token-management/testing` was imported.
 * @throws Error where the app lets no tests in, a hook keeps it from the plugin, a claim would not be kept, or the tokens are of somebody else; FST_TOKEN_UNKNOWN_PROVIDER;
 * and what `request.tokens.save()` throws.
 * @example
 * const { inject } = await loggedIn(app, { claims: { sub: 'alice' } })
 * const response = await inject('/orders')
 */
export async function loggedIn (app: TestedApp, { provider: name, resource: asked, context, browser: given, ...login }: LoggedInOptions = {}): Promise<TestBrowser> {
  await app.ready()
  const { path, provider } = entranceOf(app.server, name)
  const [resource] = [asked ?? provider.login?.resource ?? []].flat()
  const { dpopKey, ...answer } = await loginAnswer(login, provider)
  const inBrowser = given ?? browser(app)
  let outcome: { tokens: TokenSet } | { error: unknown } | undefined
  const response = await visiting(async (request) => {
    Object.assign(request.raw.socket, { encrypted: true }) // by https for apps without `trustProxy`, too
    try {
      outcome = { tokens: await request.tokens.save(answer, { provider: provider.name, context, ...dpopKey && { dpopKey }, ...resource !== undefined && { resource } }) }
    } catch (error) {
      outcome = { error }
    }
  }, () => inBrowser.inject({ url: path, headers: byHttps }))
  if (outcome === undefined) throw new Error(`Nobody is logged in: a hook that the app adds before fastify-token-management has answered with ${response.statusCode}: ${response.body}`)
  if ('error' in outcome) throw outcome.error
  checkClaims(login.claims, outcome.tokens)
  return inBrowser
}

/** A test that goes by more than the app gets in production says nothing. */
function checkClaims (asked: Readonly<Record<string, unknown>> = {}, { claims = {} }: TokenSet): void {
  const lost = Object.keys(asked).filter((name) => !UNASKED.includes(name) && !Object.hasOwn(claims, name))
  if (lost.length > 0) throw new Error(`The app does not keep these claims, so that no request would find them: ${lost.join(', ')}. Name them in its option session.claims, or leave them out here`)
}
