import type { FastifyReply, FastifyRequest } from 'fastify'
import { LoginFailed } from '../errors.ts'
import { accessorOf } from '../request/decorate-requests.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { asksForIdToken } from './authorization-request.ts'
import type { AnswerFailure } from './login-failure.ts'
import { type FinishedLogin, loginTracing } from './login-message.ts'
import { notStartedHere, redemptionError } from './login-error.ts'
import { mayPass, Redemptions } from './redemptions.ts'
import { redeemInTurn } from './shared-redemption.ts'
import { type SessionStartSettings, startSession } from './session-start.ts'
import type { Transaction } from './transaction.ts'
import type { Transactions } from './transactions.ts'
import { withUserInfo } from './user-info.ts'

export interface CallbackSettings extends SessionStartSettings {
  readonly transactions: Transactions
  readonly answerFailure: AnswerFailure
  readonly wantsDpop: boolean
  /** Seconds. */
  readonly gracePeriod: number
  readonly requestTimeout: number
  /** What is kept of what the provider says of somebody. */
  readonly claims: readonly string[]
  /** Where a browser goes that has nowhere to return to. */
  readonly home: string
}

/**
 * The way back from the provider: the code is redeemed over the backchannel, with the client's own authentication and all
 * checks, and once. What does not open, or does not match, costs no request.
 */
export function callback (settings: CallbackSettings): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  const { provider, login, transactions, answerFailure, wantsDpop, home } = settings
  const { loginRequests, backchannelFor, coordinator } = provider
  const redemptions = new Redemptions<TokenSet>(settings.gracePeriod, provider.clock)
  const inTurn = { ...settings, shared: provider.sharing.shared, clock: provider.clock, requests: 1 + Number(login.verifySignature) + Number(login.userInfo) }

  async function redeem (request: FastifyRequest, parameters: URLSearchParams, { state, codeVerifier, nonce, scope = login.scope, dpopKey }: Transaction): Promise<TokenSet> {
    if (wantsDpop && dpopKey === undefined) throw new LoginFailed('it was started without a DPoP key, before the option was set')
    const tokens = await asLoginErrors(() => loginRequests.redeem({
      parameters,
      state,
      codeVerifier,
      redirectUri: login.callbackUri,
      scope: scope.join(' '),
      resource: [login.resource ?? []].flat()[0],
      requireIdToken: asksForIdToken(scope),
      nonce,
      dpopKey
    }, backchannelFor(request.server)))
    return login.userInfo ? await withUserInfo(provider, request, tokens, settings.claims) : tokens
  }

  /** One does it, and whoever comes with the same callback gets what came of it. What does not match says nothing of what will. */
  async function finish (request: FastifyRequest, reply: FastifyReply, parameters: URLSearchParams, transaction: Transaction): Promise<FinishedLogin> {
    await asLoginErrors(() => loginRequests.check({ parameters, state: transaction.state }))
    let isFirst = false
    const tokens = await redemptions.once(transaction.state, () => redeemInTurn(inTurn, transaction, async () => {
      isFirst = true
      const tokens = await redeem(request, parameters, transaction)
      transactions.end(reply, transaction)
      await startSession(settings, request, reply, tokens)
      return tokens
    }))
    const { sessionId } = tokens
    if (isFirst) return { outcome: 'loggedIn', sessionId }
    if (coordinator.hasEnded(sessionId)) throw new LoginFailed('the session that it brought has ended already')
    transactions.end(reply, transaction)
    if (login.saveTokens) await accessorOf(request).session({ provider: provider.name }).state.start(tokens)
    return { outcome: 'repeated', sessionId }
  }

  async function withoutTransaction (request: FastifyRequest): Promise<FinishedLogin> {
    const isLoggedIn = await accessorOf(request).session({ provider: provider.name }).state.live() !== null
    if (!isLoggedIn) throw notStartedHere(request)
    return { outcome: 'alreadyLoggedIn' }
  }

  return async (request, reply) => {
    reply.header('cache-control', 'no-store').header('referrer-policy', 'no-referrer')
    const parameters = new URL(request.url, login.callbackUri).searchParams
    const transaction = transactions.find(request, parameters.get('state'))
    try {
      await loginTracing.trace({ ...provider.registration, step: 'callback' }, () => transaction ? finish(request, reply, parameters, transaction) : withoutTransaction(request))
    } catch (error) {
      if (transaction && !mayPass(error)) transactions.end(reply, transaction)
      return await answerFailure(request, reply, error, transaction?.returnTo)
    }
    return reply.sent ? reply : reply.redirect(transaction?.returnTo ?? home, 303)
  }
}

async function asLoginErrors<Result> (ask: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await ask()
  } catch (error) {
    throw redemptionError(error)
  }
}
