import { LoginFailed } from '../errors.ts'
import { errorOf, RefreshFailure } from '../refresh/failure.ts'
import { ANY_SIZE, pack, unpack } from '../stores/cookie/pack.ts'
import type { SharedCoordinator, Spendable } from '../tokens/shared-coordinator.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import { mayPass } from './redemptions.ts'
import { TRANSACTION_SECONDS, type Transaction } from './transaction.ts'

export interface SharedRedemptionSettings {
  readonly shared: SharedCoordinator | undefined
  /** Seconds. */
  readonly gracePeriod: number
  readonly requestTimeout: number
  /** How many there are, one after the other; those for keys, which wait for no turn, are one. */
  readonly requests: number
  readonly clock: () => number
}

/** Seconds in which the session is started, once the code is redeemed. Before that, each request may wait for its turn as long as it may take. */
const START_SECONDS = 5

/**
 * Redeems the code of a login in turn with the other processes: duplicates of one callback reach several of them.
 *
 * @returns what it brought, here or there.
 */
export async function redeemInTurn ({ shared, gracePeriod, requestTimeout, requests, clock }: SharedRedemptionSettings, { state, codeVerifier }: Transaction, redeem: () => Promise<TokenSet>): Promise<TokenSet> {
  if (shared === undefined) return await redeem()
  const code: Spendable = { id: `login ${state}`, generation: 0, secret: codeVerifier, arrived: 0, endsAt: clock() + TRANSACTION_SECONDS }
  const claim = await shared.claim(code)
  if (claim.status === 'succeeded') {
    const tokens = unpack(claim.content.toString('base64url'), ANY_SIZE)?.tokens
    if (tokens !== undefined) return tokens
  }
  if (claim.status !== 'yours' && claim.status !== 'alone') throw new LoginFailed('this browser has finished it already')
  if (await shared.sending(code, 2 * requests * requestTimeout + START_SECONDS) === 'lost') throw errorOf(new RefreshFailure('unavailable', { cause: new Error('another process has taken over'), wasAsked: false }))
  try {
    const tokens = await redeem()
    await shared.settle(code, { successor: { generation: 1, content: Buffer.from(pack(tokens), 'base64url'), lifetime: gracePeriod } })
    return tokens
  } catch (error) {
    await shared.settle(code, mayPass(error) ? { mayBeSent: false } : { dead: true })
    throw error
  }
}
