import type { FastifyInstance } from 'fastify'
import { LRUCache } from 'lru-cache'
import { Agent, type Dispatcher } from 'undici'
import type { ClientTokens } from '../cached-tokens/client-tokens.ts'
import { ForeignOrigin } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import { checkDispatcher } from '../token-service/check-dispatcher.ts'
import type { TokenExchange } from '../tokens/token-exchange.ts'
import { readWish, type TokenWish } from '../tokens/token-wish.ts'

/** Tokens of one API that are remembered as renewed in vain. */
const MAX_IN_VAIN = 10_000

type ApiOptions = CheckedOptions['apis'][string]

/** One API of the option `apis`: where it is, and whose token it gets. */
export class Api {
  readonly name: string
  /** The name of the registration that declares it. */
  readonly provider: string
  readonly origin: string
  readonly kind: ApiOptions['token']
  readonly wish: TokenWish
  readonly exchange: TokenExchange | undefined
  readonly client: ClientTokens | undefined
  /** The HTTP client below: it knows nothing of tokens. */
  readonly dispatcher: Dispatcher
  readonly #inVain = new LRUCache<string, true>({ max: MAX_IN_VAIN })

  constructor (name: string, provider: string, { origin, token, resource, scope, exchange }: ApiOptions, client: ClientTokens | undefined, dispatcher: Dispatcher) {
    this.name = name
    this.provider = provider
    this.origin = origin
    this.kind = token
    this.wish = readWish({ resource, scope: scope?.join(' ') })
    this.exchange = exchange
    this.client = client
    this.dispatcher = dispatcher
  }

  /** @throws FST_TOKEN_FOREIGN_ORIGIN for whatever is not of its origin, or names a user. */
  check (url: string | URL): void {
    if (url === this.origin) return
    const { origin, username, password } = new URL(url, this.origin)
    if (origin !== this.origin) throw new ForeignOrigin(origin, this.name, this.origin)
    if (username !== '' || password !== '') throw new ForeignOrigin('an address with a user in it', this.name, this.origin)
  }

  /** The API has refused a token that was fresh: its next 401s are not about the token's age, and cost no refresh each. */
  renewedInVain (accessToken: string): void {
    this.#inVain.set(accessToken, true)
  }

  isHopeless (accessToken: string): boolean {
    return this.#inVain.has(accessToken)
  }
}

/**
 * The APIs that one registration declares. Those that bring no HTTP client of their own share one, which is closed with the app.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS
 */
export function buildApis (fastify: FastifyInstance, { name: provider, apis }: Pick<CheckedOptions, 'name' | 'apis'>, clients: ReadonlyMap<string, ClientTokens>): Api[] {
  let agent: Agent | undefined
  const shared = () => {
    if (agent !== undefined) return agent
    const created = agent = new Agent()
    // What still streams when the app has closed goes to nobody.
    fastify.addHook('onClose', async () => { await created.destroy() })
    return agent
  }
  return Object.entries(apis).map(([name, options]) => {
    const { client, dispatcher } = options
    if (dispatcher !== undefined) checkDispatcher(dispatcher, `apis.${name}.dispatcher`)
    return new Api(name, provider, options, client === undefined ? undefined : clients.get(client), dispatcher ?? shared())
  })
}
