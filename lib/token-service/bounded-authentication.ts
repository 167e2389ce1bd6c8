import type { ClientAuth } from 'oauth4webapi'
import { hasCode } from '../errors.ts'
import { BackchannelError } from './backchannel.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { within } from './within.ts'

/**
 * Client authentication as a part of a call: what fails in it, or never ends, has sent nothing and spent nothing.
 *
 * @param timeout - seconds.
 * @throws BackchannelError where the app's own function fails, FST_TOKEN_INVALID_OPTIONS for what it gives, and the errors of the app's other functions.
 */
export function boundedAuthentication (authentication: ClientAuthentication, timeout: number): ClientAuthentication {
  const bounded: ClientAuth = async (...request) => {
    try {
      await within(timeout, 'clientAuthentication, or tokenRequest or parameters before it,', () => authentication(...request))
    } catch (error) {
      if (hasCode(error)) throw error
      throw new BackchannelError('Nothing was sent to the token service: the client could not authenticate, see the cause', false, error, false)
    }
  }
  return Object.assign(bounded, { ...authentication })
}
