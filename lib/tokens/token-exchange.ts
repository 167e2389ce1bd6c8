import { InvalidParameters } from '../errors.ts'
import { RESERVED } from './extra-parameters.ts'
import { readWish, type TokenWish } from './token-wish.ts'

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

/** For what the session's access token is exchanged (RFC 8693 §2.1). */
export interface TokenExchange extends TokenWish {
  /** The name of the API at the token service, where it has no URI of its own to be the `resource`. */
  readonly audience?: string
  /** `requested_token_type`; default: what the service gives, which must be an access token. */
  readonly requestedTokenType?: string
  /** `subject_token_type`; default: `urn:ietf:params:oauth:token-type:access_token`. */
  readonly subjectTokenType?: string
  /** Who acts for the user, where the API is to know that: a token of its own, and its type. */
  readonly actor?: { readonly token: string, readonly tokenType: string }
  /** What else the service wants to know. */
  readonly parameters?: Readonly<Record<string, string>>
}

/**
 * The parameters of an exchange, without the subject's token; in one form, so that they are the key of what it brings.
 *
 * @throws FST_TOKEN_INVALID_PARAMETERS
 */
export function exchangeParameters ({ audience, requestedTokenType, subjectTokenType = ACCESS_TOKEN, actor, parameters = {}, ...wish }: TokenExchange): URLSearchParams {
  const reserved = Object.keys(parameters).find((name) => RESERVED.has(name))
  if (reserved !== undefined) throw new InvalidParameters(`exchange.parameters.${reserved} is set by this plugin itself`)
  const all = new URLSearchParams({
    ...parameters,
    ...readWish(wish),
    ...(audience !== undefined && { audience }),
    ...(requestedTokenType !== undefined && { requested_token_type: requestedTokenType }),
    subject_token_type: subjectTokenType,
    ...(actor && { actor_token: actor.token, actor_token_type: actor.tokenType })
  })
  all.sort()
  return all
}
