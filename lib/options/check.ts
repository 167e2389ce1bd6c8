import type { Dispatcher } from 'undici'
import { Value } from 'typebox/value'
import { InvalidOptions } from '../errors.ts'
import { apisProblem } from './apis-check.ts'
import { pathProblem, withPathsOfItsOwn } from './paths.ts'
import { providerProblem } from './provider-check.ts'
import { requestsProblem } from './requests-check.ts'
import { type DpopAlgorithm, type Options, OptionsSchema } from './schema.ts'
import { cookieProblem, isSecureCookie, keyProblem, readKeys } from './session-check.ts'
import { shapeProblem } from './shape-problem.ts'
import type { Surroundings } from './surroundings.ts'
import { isRecord, withoutEmpty } from '../tokens/record.ts'

/** The options with everything filled in that follows from them. */
export type CheckedOptions = Readonly<Omit<Options, 'issuer' | 'session' | 'dpop'> & {
  /** Also where `metadata` says it. */
  readonly issuer: string
  readonly dpop?: { readonly alg: DpopAlgorithm }
  session: Readonly<Omit<Options['session'], 'key' | 'cookieName' | 'cookie' | 'endsWith'>> & {
    /** None where tokens are kept in clear, in a store on the server. */
    readonly keys: readonly Buffer[]
    readonly cookieName: string
    readonly endsWith: string | undefined
    readonly cookie: Readonly<Options['session']['cookie']> & { readonly secure: boolean }
  }
}>

/**
 * Checks the options once, at boot, and fills in the defaults. The caller's own object is left as it is.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS with the path of the option, what was expected and what to do.
 */
export function checkOptions (given: unknown, surroundings: Surroundings): CheckedOptions {
  const candidate: unknown = Value.Default(OptionsSchema, spelledOut(Value.Clone(given)))
  if (!Value.Check(OptionsSchema, candidate)) throw new InvalidOptions(shapeProblem(candidate))
  const problem = crossFieldProblem(candidate, surroundings)
  if (problem !== undefined) throw new InvalidOptions(problem)

  const { dpop, issuer, metadata, ...others } = candidate
  const { key, cookieName, cookie, endsWith, ...lifetimes } = candidate.session
  const secure = isSecureCookie(candidate)
  const plainName = candidate.name === 'default' ? 'tokens' : `${candidate.name}-tokens`
  for (const part of [candidate.session.claims, candidate.metadata, candidate.metadata?.mtls_endpoint_aliases, candidate.login, candidate.login?.scope, candidate.login?.resource, candidate.logout, candidate.bff, candidate.bff.session, candidate.clients, candidate.apis, candidate.tenants, candidate.allowInsecureRequests]) Object.freeze(part)
  return Object.freeze({
    ...others,
    ...(metadata && { metadata }),
    issuer: metadata?.issuer ?? issuer ?? '',
    ...(isRecord(dpop) && { dpop: Object.freeze(dpop) }),
    session: Object.freeze({
      ...lifetimes,
      keys: key === undefined ? [] : readKeys(key),
      cookieName: cookieName ?? (secure ? `__Host-${plainName}` : plainName),
      endsWith: endsWith ?? (surroundings.secureSession && !surroundings.session && surroundings.onRequest('session') ? 'session' : undefined),
      cookie: Object.freeze({ ...cookie, secure })
    })
  })
}

/**
 * A login comes with a logout unless that is `false`, a named provider has routes of its own, `dpop: true` and
 * `bff.session: true` mean what they say with all their defaults, and what is Fastify's own (as @fastify/autoload passes it on) is not ours.
 */
function spelledOut (given: unknown): unknown {
  if (!isRecord(given)) return given
  const { prefix, logLevel, logSerializers, bff, ...others } = given
  const ours = { ...others, ...(bff !== undefined && { bff: withSession(bff) }) }
  const { login, logout = login === undefined ? false : {}, ...options } = withPathsOfItsOwn(ours)
  return {
    ...options,
    ...(login !== undefined && { login }),
    ...(logout !== false && { logout }),
    ...(isRecord(options.metadata) && { metadata: withoutEmpty(options.metadata) }),
    ...(options.dpop === true && { dpop: {} })
  }
}

function withSession (bff: unknown): unknown {
  if (!isRecord(bff) || typeof bff.session !== 'boolean') return bff
  const { session, ...others } = bff
  return session ? { ...others, session: {} } : others
}

/** Whether the option holds the app's own dispatcher, and not options for ours. */
export function isDispatcher (backchannel: Options['backchannel']): backchannel is Dispatcher {
  return backchannel !== undefined && 'dispatch' in backchannel
}

function crossFieldProblem (options: Options, surroundings: Surroundings): string | undefined {
  const { secureSession, onRequest, names, clients } = surroundings
  if (names.includes(options.name)) return `name must differ from the other registrations' (${names.join(', ')})`
  const problem = providerProblem(options)
  if (problem !== undefined) return problem
  if (!options.clientSecret && !options.clientAuthentication) {
    return 'clientSecret or clientAuthentication is required: one of the two. For a client without a secret: clientAuthentication: none()'
  }
  if (options.clientSecret && options.clientAuthentication) {
    return 'clientSecret and clientAuthentication are one too many, so that the client authenticates in one way only: put the secret into the function, as in clientSecretPost(secret)'
  }
  const { session } = options
  if (session.endsWith !== undefined && !(secureSession && onRequest(session.endsWith))) {
    return `session.endsWith: there is no session of @fastify/secure-session named ${session.endsWith}. Register that before, with this sessionName`
  }
  return pathProblem(options, surroundings) ?? loginProblem(options) ?? requestsProblem(options, clients) ?? apisProblem(options, surroundings) ?? keyProblem(options, surroundings) ?? cookieProblem(options)
}

function loginProblem ({ login, metadata }: Options): string | undefined {
  if (!login) return undefined
  if (metadata && !metadata.authorization_endpoint) return 'metadata.authorization_endpoint is required with login'
  if (metadata && !metadata.pushed_authorization_request_endpoint && (login.pushedAuthorizationRequests || metadata.require_pushed_authorization_requests)) {
    return 'metadata.pushed_authorization_request_endpoint is required where authorization requests are pushed'
  }
  if (login.userInfo && !login.scope.includes('openid')) return 'login.userInfo needs openid in login.scope: the id_token says who it has to be about'
  if (!login.saveTokens && !login.onTokens) return 'login.onTokens is required where login.saveTokens is false: nobody else takes the tokens'
  if (login.saveTokens && login.onTokens) return 'login.onTokens is only called where login.saveTokens is false; use login.onLogin'
  return undefined
}
