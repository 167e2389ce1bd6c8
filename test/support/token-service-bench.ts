import type { Test } from 'tap'
import { Agent } from 'undici'
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server/authorization-server.ts'
import type { Fault } from '../../lib/testing/provider/fault-queue.ts'
import type { Settings } from './authorization-server/settings.ts'
import { signingAlgorithm } from '../../lib/testing/provider/signer.ts'
import { clientSecretBasic } from '../../lib/index.ts'
import { LoginRequests } from '../../lib/token-service/login-requests.ts'
import { ProviderRequests, type ProviderSettings } from '../../lib/token-service/provider-requests.ts'
import { TokenService, type TokenServiceSettings } from '../../lib/token-service/token-service.ts'
import { firstTokenSet } from '../../lib/tokens/from-response.ts'
import type { TokenSet } from '../../lib/tokens/token-set.ts'
import type { TokenWish } from '../../lib/tokens/token-wish.ts'

/** Of the client: with a space, so that encoding it matters. */
export const clientSecret = 'a client secret'

export interface Setup extends Partial<Omit<ProviderSettings & TokenServiceSettings, 'metadata'>> {
  server?: Partial<Settings>
  metadata?: Record<string, string | undefined>
}

export interface Bench {
  server: AuthorizationServer
  service: TokenService
  loginRequests: LoginRequests
  dispatcher: Agent
  clock: { now: number }
  /** What was warned of, as it was logged. */
  warnings: unknown[]
  session (issue?: Parameters<AuthorizationServer['issue']>[0]): Promise<RefreshableTokenSet>
  refresh (tokens: RefreshableTokenSet, wish?: TokenWish): Promise<TokenSet>
  /** Refreshes a new session that meets this fault, and gives the error. */
  failure (fault: Fault, wish?: TokenWish): Promise<unknown>
}

export type RefreshableTokenSet = TokenSet & { refreshToken: string }

/** A token service client and a strict authorization server, and nothing else. */
export async function tokenServiceBench (t: Test, { server: settings, metadata, ...more }: Setup = {}): Promise<Bench> {
  const server = await startAuthorizationServer({ clientSecret, ...settings })
  const dispatcher = new Agent()
  t.teardown(async () => {
    await dispatcher.destroy()
    await server.close()
  })
  const { issuer } = server
  const clock = { now: Date.now() / 1000 }
  const warnings: unknown[] = []
  const given: ProviderSettings & TokenServiceSettings = {
    metadata: () => ({
      issuer,
      token_endpoint: `${issuer}/token`,
      revocation_endpoint: `${issuer}/revoke`,
      id_token_signing_alg_values_supported: [signingAlgorithm],
      ...metadata
    }),
    clientId: server.settings.clientId,
    clientAuthentication: clientSecretBasic(server.settings.clientSecret),
    requestTimeout: 10,
    clockTolerance: 30,
    clock: () => clock.now,
    log: { warn: (...line: unknown[]) => { warnings.push(line) } },
    ...more
  }
  const requests = new ProviderRequests(given)
  const service = new TokenService(requests, given)
  async function session (issue = {}): Promise<RefreshableTokenSet> {
    const tokens = await server.issue(issue)
    return { ...firstTokenSet(tokens, { issuedAt: clock.now, dpopKey: tokens.dpopKey }), refreshToken: tokens.refresh_token }
  }
  const refresh = (tokens: RefreshableTokenSet, wish: TokenWish = {}) => service.refresh(tokens, wish, dispatcher)
  async function failure (fault: Fault, wish?: TokenWish): Promise<unknown> {
    server.clearFaults()
    server.fault(fault)
    return await refresh(await session(), wish).then(() => undefined, (error: unknown) => error)
  }
  return { server, service, loginRequests: new LoginRequests(requests), dispatcher, clock, warnings, session, refresh, failure }
}

/** The one that a test relies on. */
export function first<Item> ([item]: readonly Item[]): Item {
  if (item === undefined) throw new Error('There is none')
  return item
}
