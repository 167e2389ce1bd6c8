import { HookFailed } from '../errors.ts'

/** What a request says of the client, the grant and the user: this library's own to say, and never a matter of configuration. */
export const RESERVED: ReadonlySet<string> = new Set([
  'grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type',
  'code', 'code_verifier', 'redirect_uri', 'refresh_token',
  'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
  'token', 'token_type_hint',
  'response_type', 'response_mode', 'state', 'nonce', 'code_challenge', 'code_challenge_method', 'request', 'request_uri', 'dpop_jkt'
])

/** The same of headers. */
export const RESERVED_HEADERS: ReadonlySet<string> = new Set(['accept', 'authorization', 'content-length', 'content-type', 'dpop', 'expect', 'host', 'keep-alive', 'transfer-encoding', 'upgrade'])

/** An authorization request has options for these, too. */
export const RESERVED_FOR_LOGIN: ReadonlySet<string> = new Set([...RESERVED, 'scope', 'resource'])

/** Parameters that the app adds to a request: always the same, or by a function of what the request is for. */
export type ExtraParameters<About> =
  | Readonly<Record<string, string>>
  | ((about: About) => Readonly<Record<string, string | undefined>> | Promise<Readonly<Record<string, string | undefined>>>)

/**
 * What an option of extra parameters adds to this request; what is `undefined` is left out.
 *
 * @param option - its path, for the message.
 * @throws FST_TOKEN_HOOK_FAILED where its function fails, or gives what is not the app's to set.
 */
export async function extraParameters<About> (option: string, given: ExtraParameters<About> = {}, about: About, reserved: ReadonlySet<string>): Promise<Array<[name: string, value: string]>> {
  const parameters = typeof given === 'function' ? await callHook(option, async () => await given(about)) : given
  return Object.entries(parameters ?? {}).flatMap(([name, value]) => {
    if (value === undefined) return []
    if (reserved.has(name)) throw new HookFailed(`${option} sets ${name}, which is set by this plugin itself`)
    if (typeof value !== 'string') throw new HookFailed(`${option} gives no text for ${name}`)
    return [[name, value]]
  })
}

/**
 * Calls a function of the app that has its part in a request: where it fails, nothing is sent.
 *
 * @throws FST_TOKEN_HOOK_FAILED
 */
export async function callHook<Result> (option: string, hook: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await hook()
  } catch (error) {
    throw new HookFailed(`${option} has failed, see the cause`, { cause: error })
  }
}
