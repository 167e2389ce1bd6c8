import * as fc from 'fast-check'
import type { Fault } from '../../../lib/testing/provider/fault-queue.ts'
import { faults } from '../../support/authorization-server/faults.ts'

/**
 * What an answer tells the app of the refresh token that was presented: it is spent, it is dead, it goes on being the one, it
 * was refused without a reason, the service is down, or nothing.
 */
export type Meaning = 'spent' | 'dead' | 'kept' | 'refused' | 'down' | 'unknown'

interface Trouble {
  readonly fault: Fault
  /** What its answer tells the app of the refresh token. */
  readonly meaning: Meaning
  /** What the server has made of the request: it has not seen it, it says so, or it is hidden from the app. */
  readonly processing: 'none' | 'told' | 'hidden'
}

/** What happens to token requests. */
export const troubles = {
  'reset before': { fault: faults.resetBefore(), meaning: 'unknown', processing: 'none' },
  'reset after': { fault: faults.resetAfter(), meaning: 'unknown', processing: 'hidden' },
  'a 429': { fault: faults.retryAfter(429, 7), meaning: 'down', processing: 'none' },
  'a 500': { fault: faults.oauthError('invalid_grant', 500), meaning: 'down', processing: 'none' },
  '502 after': { fault: faults.afterProcessing(faults.html(502)), meaning: 'down', processing: 'hidden' },
  invalid_client: { fault: faults.oauthError('invalid_client', 401), meaning: 'unknown', processing: 'none' },
  HTML: { fault: faults.html(200), meaning: 'unknown', processing: 'none' },
  'half an answer': { fault: faults.notJson(), meaning: 'unknown', processing: 'hidden' },
  'no refresh token': { fault: faults.without('refresh_token'), meaning: 'kept', processing: 'told' },
  'empty 400': { fault: faults.empty(400), meaning: 'refused', processing: 'none' },
  'empty 403': { fault: faults.empty(403), meaning: 'refused', processing: 'none' },
  invalid_request: { fault: faults.oauthError('invalid_request'), meaning: 'refused', processing: 'none' },
  invalid_grant: { fault: faults.oauthError('invalid_grant'), meaning: 'dead', processing: 'none' },
  'invalid_grant 200': { fault: faults.oauthError('invalid_grant', 200), meaning: 'dead', processing: 'none' },
  'another subject': { fault: faults.idToken({ sub: 'mallory' }), meaning: 'dead', processing: 'told' },
  'another type': { fault: faults.members({ token_type: 'mac' }), meaning: 'spent', processing: 'told' },
  'no access token': { fault: faults.without('access_token'), meaning: 'spent', processing: 'told' },
  'no lifetime': { fault: faults.members({ expires_in: 0 }), meaning: 'spent', processing: 'told' }
} satisfies Record<string, Trouble>

export type TroubleName = keyof typeof troubles

const troubleNames = Object.keys(troubles).filter((name): name is TroubleName => name in troubles)

/** What a browser asks the app for. */
export interface Wish {
  /** Of which resource; none: the login's own token. */
  readonly resource: string | undefined
  /** A new token in any case, or in place of the one that the browser has seen last. */
  readonly force: 'no' | 'always' | 'rejected'
  /** Whether the app's hook refreshes before the handler asks. */
  readonly hook: boolean
  /** Whether the handler asks for the login's own token at the same time. */
  readonly beside: boolean
  /** What the handler does when it has the token: answer, wait until it may, or fail. */
  readonly ending: 'answer' | 'wait' | 'fail'
}

/** What happens, one after the other; requests take their time, and go on with the `step`s. */
export type Action =
  | { readonly type: 'request', readonly browser: number, readonly process: number, /** 0: the current cookie, more: an older one. */ readonly age: number, readonly wish: Wish, /** What becomes of the response. */ readonly fate: 'arrives' | 'late' | 'lost' }
  | { readonly type: 'logout', readonly browser: number, readonly process: number, readonly how: 'clear' | 'revoke' }
  | { readonly type: 'login', readonly browser: number, readonly process: number }
  | { readonly type: 'step', /** Which of those who wait. */ readonly place: number, /** What happens to it, by its name in `troubles`. */ readonly trouble: TroubleName | null }
  | { readonly type: 'wait', readonly seconds: number }
  | { readonly type: 'redis', /** For which it is there, or not. */ readonly process: number, readonly isThere: boolean }
  | { readonly type: 'empty Redis' }
  | { readonly type: 'jump', /** Of the app's clock. */ readonly seconds: number }

/** What all token requests of one person meet, whatever the others' do; `hanging` ones get no answer before the end. */
export type Hostility = TroubleName | 'hanging'

export interface Script {
  /** Whether a refresh brings a new refresh token. */
  readonly rotation: 'new' | 'same'
  /** Of the person at the first browser. */
  readonly hostility: Hostility | null
  readonly actions: readonly Action[]
}

const resources = ['https://orders.example', 'https://bills.example']
export const browsers = 3
const hour = 3600

const browser = fc.nat(browsers - 1)
const process = fc.nat(5)
const often = <Value>(usual: Value, rare: fc.Arbitrary<Value>) => fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: rare })

const wish: fc.Arbitrary<Wish> = fc.record({
  resource: often(undefined, fc.constantFrom(...resources)),
  force: often('no', fc.constantFrom('always', 'rejected')),
  hook: fc.boolean(),
  beside: often(false, fc.constant(true)),
  ending: often('answer', fc.constantFrom('wait', 'fail'))
})

const trouble = fc.option(fc.constantFrom(...troubleNames), { freq: 2 })

const actions: Array<fc.MaybeWeightedArbitrary<Action>> = [
  { weight: 10, arbitrary: fc.record({ type: fc.constant('request'), browser, process, age: often(0, fc.integer({ min: 1, max: 3 })), wish, fate: often('arrives', fc.constantFrom('late', 'lost')) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('logout'), browser, process, how: fc.constantFrom('clear', 'revoke') }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('login'), browser, process }) },
  { weight: 10, arbitrary: fc.record({ type: fc.constant('step'), place: fc.nat(5), trouble }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('wait'), seconds: fc.constantFrom(301, 250, 31, 6, 1) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('jump'), seconds: fc.constantFrom(hour, -hour) }) }
]

/** What happens to the Redis of several processes. */
const failingRedis: Array<fc.MaybeWeightedArbitrary<Action>> = [
  { weight: 3, arbitrary: fc.record({ type: fc.constant('redis'), process, isThere: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('empty Redis') }) }
]

/** @param hasRedis - whether there are several processes, and a Redis that may fail. */
export const scripts = (hasRedis: boolean): fc.Arbitrary<Script> => fc.record({
  rotation: often('new', fc.constant('same')),
  hostility: fc.option(fc.constantFrom<Hostility>('a 500', 'a 429', '502 after', 'hanging', 'reset before', 'empty 403', 'invalid_client', 'HTML')),
  actions: fc.array(fc.oneof(...actions, ...hasRedis ? failingRedis : []), { minLength: 5, maxLength: 40, size: 'max' })
})
