import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import type { KoaContextWithOIDC, Provider } from 'oidc-provider'

/** What may go wrong with the token service. */
export interface Switches {
  /** It answers 503 to everything. */
  down: boolean
  /** It takes its time. */
  slow: boolean
}

const slowMilliseconds = 3000

/** Where the demo breaks the provider, and mends it again. No provider has that: it is in clear, and on loopback only. */
export function providerSwitches (provider: Provider, grantsOf: Map<string, string[]>) {
  const switches: Switches = { down: false, slow: false }

  async function revokeAll (account: string): Promise<void> {
    for (const id of grantsOf.get(account) ?? []) await (await provider.Grant.find(id))?.destroy()
    grantsOf.delete(account)
  }

  return async (context: KoaContextWithOIDC, next: () => Promise<unknown>): Promise<void> => {
    const { method, path } = context
    if (path === '/demo/switches') {
      if (method === 'PUT') {
        const { down, slow } = JSON.parse(await text(context.req))
        Object.assign(switches, { down: down === true, slow: slow === true })
      }
      context.body = switches
    } else if (path.startsWith('/demo/grants/') && method === 'DELETE') {
      await revokeAll(decodeURIComponent(path.slice('/demo/grants/'.length)))
      context.status = 204
    } else if (path === '/token') {
      if (switches.slow) await pause(slowMilliseconds, undefined, { ref: false })
      if (switches.down) context.status = 503
      else await next()
    } else {
      await next()
    }
  }
}
