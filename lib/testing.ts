import type { FastifyInstance } from 'fastify'
import type { Rule } from './testing/rule.ts'
import { rules } from './testing/rules.ts'
import { failureRule } from './testing/session-rules.ts'
import { StoreApp } from './testing/visitor.ts'
import type { TokenStore } from './tokens/token-store.ts'
import { isRecord } from './tokens/record.ts'

// A browser, and somebody who is logged in.
export { browser } from './testing/browser.ts'
export type { TestBrowser, TestedApp } from './testing/browser.ts'
export { loggedIn } from './testing/logged-in.ts'
export type { LoggedInOptions } from './testing/logged-in.ts'
export type { TestLogin } from './testing/login-answer.ts'

// A provider to test against.
export { faults } from './testing/provider/faults.ts'
export { testProvider } from './testing/provider/test-provider.ts'
export type { Fault } from './testing/provider/fault-queue.ts'
export type { Gate, HoldOptions } from './testing/provider/gate.ts'
export type { Endpoint as ProviderEndpoint, RequestRecord as ProviderRequest } from './testing/provider/request-log.ts'
export type { TestProviderSettings } from './testing/provider/settings.ts'
export type { IssuedTokens, IssueOptions, TestProvider } from './testing/provider/test-provider.ts'

/** What runs tests: the `t` of node:test or of tap, or an object with the `test` of another runner. */
export interface TestRunner {
  test (name: string, run: (t: unknown) => Promise<void>): unknown
}

/** How the store under test can be made to fail. */
export interface ConformanceOptions {
  /**
   * Takes away what the store works with: ends its connections, say. Called once, after everything else. Without it, that
   * failures pass through is not tested.
   */
  readonly breakDown?: () => Promise<void> | void
}

/**
 * Tests a token store against all that the plugin needs of one: each rule is a test of its own, with a store of its own in a
 * small Fastify app, whose visitors send the cookies that they got.
 *
 * @param t - who runs the tests.
 * @param create - makes a store, on an app that it may register plugins on, such as @fastify/cookie. Called once a test.
 * @example
 * import { test } from 'node:test'
 * import { tokenStoreConformance } from 'fastify-token-management/testing'
 *
 * test('the store on our database', async (t) => {
 *   await tokenStoreConformance(t, async (app) => {
 *     await app.register(cookie)
 *     return new DatabaseTokenStore(pool)
 *   }, { breakDown: () => pool.end() })
 * })
 */
export async function tokenStoreConformance (t: TestRunner, create: (app: FastifyInstance) => TokenStore | Promise<TokenStore>, { breakDown }: ConformanceOptions = {}): Promise<void> {
  const all = breakDown === undefined ? rules : [...rules, failureRule(breakDown)]
  for (const rule of all) {
    await t.test(rule.name, async (subtest) => {
      await check(rule, create)
      // Some runners take a test without an assertion of their own for one that was skipped.
      if (isRecord(subtest) && typeof subtest.pass === 'function') subtest.pass(rule.name)
    })
  }
}

async function check (rule: Rule, create: (app: FastifyInstance) => TokenStore | Promise<TokenStore>): Promise<void> {
  const app = await StoreApp.start(create)
  try {
    await rule.check(app)
  } finally {
    await app.close()
  }
}
