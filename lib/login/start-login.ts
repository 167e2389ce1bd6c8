import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { InvalidParameters } from '../errors.ts'
import type { Provider } from '../provider.ts'
import { isNavigation } from '../request/navigation.ts'
import { sendUnauthenticated } from '../request/unauthenticated.ts'
import type { AuthorizationRequest, LoginWish } from './authorization-request.ts'
import { localPath } from './local-path.ts'
import type { AnswerFailure } from './login-failure.ts'
import { loginTracing } from './login-message.ts'
import type { Transactions } from './transactions.ts'

/** Which login is started, and what it asks for. */
export interface StartLoginParameters extends LoginWish {
  /** The `name` of a registration; default: the first. */
  readonly provider?: string | undefined
  /** Where the browser ends up: a path of this app, as the browser sees it. Default: the address of this request, if it is a GET. */
  readonly returnTo?: string | undefined
}

/** Starts a login at one provider: the answer to this request. */
export type StartLogin = (request: FastifyRequest, reply: FastifyReply, parameters: LoginWish & {
  readonly returnTo: unknown
  /** Whether a browser with nowhere to return to comes back to this very page. */
  readonly comesBack?: boolean
}) => Promise<unknown>

export interface StartLoginSettings {
  readonly provider: Provider
  readonly transactions: Transactions
  readonly authorizationRequest: AuthorizationRequest
  readonly answerFailure: AnswerFailure
  /** The origin of the callback. */
  readonly origin: string
  /** What a proxy strips from the paths that the browser sees. */
  readonly strippedPrefix: string
  /** Where a browser goes that has nowhere to return to. */
  readonly home: string
}

/** Sends a browser to the provider. Only a navigation: what a page fetches would end at the provider's login page, where CORS stops it, and a prefetch is nobody's wish. */
export function startLogin ({ provider, transactions, authorizationRequest, answerFailure, origin, strippedPrefix, home }: StartLoginSettings): StartLogin {
  return async (request, reply, { returnTo, comesBack = false, ...wish }) => {
    reply.header('cache-control', 'no-store')
    if (!isNavigation(request)) return sendUnauthenticated(reply, provider)
    try {
      const { url } = await loginTracing.trace({ ...provider.registration, step: 'start' }, async () => {
        const { url, transaction } = await authorizationRequest(request, reply, wish)
        const origins = [origin, `${request.protocol}://${request.host}`]
        const otherwise = comesBack && request.method === 'GET' ? localPath(strippedPrefix + request.originalUrl) : home
        transactions.begin(request, reply, { ...transaction, returnTo: localPath(returnTo, { origins, otherwise }) })
        return { url, outcome: 'redirected' as const }
      })
      return reply.redirect(url.href, 303)
    } catch (error) {
      return await answerFailure(request, reply, error)
    }
  }
}

const kLogins = Symbol('fastify-token-management.logins')

/** The logins of the registrations of one context, by provider; with the first come `reply.startLogin()`. */
export function loginsOf (fastify: FastifyInstance): Map<string, StartLogin> {
  if (!fastify.hasDecorator(kLogins)) {
    const logins = new Map<string, StartLogin>()
    fastify.decorate(kLogins, logins)
    fastify.decorateReply('startLogin', async function (this: FastifyReply, { provider, ...parameters }: StartLoginParameters = {}) {
      const login = provider === undefined ? logins.values().next().value : logins.get(provider)
      if (login === undefined) throw new InvalidParameters(`${provider === undefined ? 'no registration' : `no registration with the name ${provider}`} has the option login`)
      await login(this.request, this, { returnTo: undefined, ...parameters, comesBack: true })
      return this
    })
  }
  return fastify.getDecorator<Map<string, StartLogin>>(kLogins)
}
