import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { TokenSet } from '../tokens/token-set.ts'
import { fullTokenSet, smallTokenSet, successorOf } from './sample.ts'
import type { StoreApp, StoreWork, Visitor } from './visitor.ts'

/** A rule, as a sentence, and what holds it. */
export interface Rule {
  readonly name: string
  readonly check: (app: StoreApp) => Promise<void>
}

const providers = ['default', 'other'] as const

/** What every token store must do. */
export const rules: readonly Rule[] = [
  {
    name: 'without a session there are no tokens',
    async check (app) {
      assert.equal(await read(app.visitor()), null, 'get gives null where nobody has logged in')
    }
  },
  {
    name: 'every field of a token set comes back as it was',
    async check (app) {
      for (const tokens of [fullTokenSet(), smallTokenSet()]) {
        const visitor = app.visitor()
        await write(visitor, tokens)
        await holds(visitor, tokens)
      }
    }
  },
  {
    name: 'a successor takes the place of its predecessor, with all that it has and no more',
    async check (app) {
      const visitor = app.visitor()
      const { idToken, ...tokens } = fullTokenSet()
      await write(visitor, { ...tokens, ...(idToken && { idToken }) })
      for (const generation of [1, 2]) {
        const successor = successorOf(tokens, generation)
        await write(visitor, successor)
        await holds(visitor, successor)
      }
    }
  },
  {
    name: 'sessions do not know each other',
    async check (app) {
      const [alice, bob] = [app.visitor(), app.visitor()]
      const [ofAlice, ofBob] = [smallTokenSet(), smallTokenSet()]
      await write(alice, ofAlice)
      await write(bob, ofBob)
      await holds(alice, ofAlice)
      await holds(bob, ofBob)
      await clear(alice)
      await holds(bob, ofBob)
      assert.equal(await read(app.visitor()), null)
    }
  },
  {
    name: 'providers do not know each other',
    async check (app) {
      const visitor = app.visitor()
      const [first, other] = [smallTokenSet(), smallTokenSet()]
      await write(visitor, first, providers[0])
      assert.equal(await read(visitor, providers[1]), null)
      await write(visitor, other, providers[1])
      await holds(visitor, first, providers[0])
      const successor = successorOf(other)
      await write(visitor, successor, providers[1])
      await holds(visitor, first, providers[0])
      await clear(visitor, providers[0])
      await holds(visitor, successor, providers[1])
    }
  },
  {
    name: 'a login replaces the one before it, and cannot be had with cookies of before it (session fixation)',
    async check (app) {
      const visitor = app.visitor()
      await read(visitor)
      const copies = [visitor.copy()]
      for (const tokens of [smallTokenSet(), smallTokenSet()]) {
        await write(visitor, tokens)
        await holds(visitor, tokens)
        for (const copy of copies) assert.notDeepEqual(await read(copy), tokens, 'a login needs a session id that nobody has seen before')
        copies.push(visitor.copy())
      }
    }
  },
  {
    name: 'what is cleared stays so, for late requests and late successors too',
    async check (app) {
      const visitor = app.visitor()
      await clear(visitor)
      const tokens = smallTokenSet()
      await write(visitor, tokens)
      const late = visitor.copy()
      await clear(visitor)
      assert.equal(await read(visitor), null)
      if (app.store.writesResponse) return // a copied cookie is beyond its reach
      assert.equal(await read(late), null)
      await write(late, successorOf(tokens))
      for (const each of [late, visitor]) assert.equal(await read(each), null, 'only generation 0 is a login: a successor never makes a session')
    }
  },
  {
    name: 'of writes that race, the highest generation wins',
    async check (app) {
      if (app.store.writesResponse) return // the browser's last answer wins, and the refresh sees to that
      const visitor = app.visitor()
      const tokens = smallTokenSet()
      await write(visitor, tokens)
      const successors = [3, 1, 5, 2, 4].map((generation) => successorOf(tokens, generation))
      await Promise.all(successors.map((successor) => write(visitor.copy(), successor)))
      const highest = successors.find(({ generation }) => generation === 5)
      await holds(visitor, highest)
      await write(visitor, successorOf(tokens, 4))
      await holds(visitor, highest)
    }
  },
  {
    name: 'a session of 100 KB is kept, or refused with FST_TOKEN_SESSION_TOO_LARGE where it is in a cookie',
    async check (app) {
      const visitor = app.visitor()
      const before = smallTokenSet()
      await write(visitor, before)
      const big = smallTokenSet(75_000)
      try {
        await write(visitor, big)
      } catch (error) {
        assert.ok(app.store.writesResponse && error instanceof Error && 'code' in error && error.code === 'FST_TOKEN_SESSION_TOO_LARGE', `what does not fit is refused by its code, and only by a store that writes to the response: ${String(error)}`)
        return await holds(visitor, before)
      }
      // No diff of 100 KB.
      assert.ok(isDeepStrictEqual(plain(await read(visitor)), plain(big)), 'a session of 100 KB does not come back as it was')
    }
  },
  {
    name: 'touch changes nothing of the tokens, and starts no session',
    async check (app) {
      const visitor = app.visitor()
      await visitor.request((store, context) => store.touch?.(context))
      assert.equal(await read(visitor), null)
      const tokens = smallTokenSet()
      await write(visitor, tokens)
      await visitor.request(async (store, context) => {
        await store.get(context)
        await store.touch?.(context)
      })
      await holds(visitor, tokens)
    }
  },
  {
    name: 'what is retracted does not reach the browser',
    async check (app) {
      if (!app.store.writesResponse || app.store.retract === undefined) return
      const visitor = app.visitor()
      const tokens = smallTokenSet()
      await write(visitor, tokens)
      await visitor.request(async (store, context) => {
        await store.set(context, successorOf(tokens))
        store.retract?.(context)
      })
      await holds(visitor, tokens)
    }
  }
]

/** For a store that can be broken: an outage is no logout, and nobody may take it for one. */
export function failureRule (breakDown: () => Promise<void> | void): Rule {
  return {
    name: 'what fails is thrown: a failed read is never a logout',
    async check (app) {
      const visitor = app.visitor()
      const tokens = smallTokenSet()
      await write(visitor, tokens)
      await breakDown()
      for (const [name, work] of Object.entries<StoreWork<unknown>>({
        get: (store, context) => store.get(context),
        set: (store, context) => store.set(context, successorOf(tokens)),
        clear: (store, context) => store.clear(context)
      })) await assert.rejects(visitor.copy().request(work), `${name} throws`)
    }
  }
}

async function read (visitor: Visitor, provider?: string): Promise<TokenSet | null> {
  return await visitor.request(async (store, context) => await store.get(context), provider)
}

/** As the plugin does it: what there is is read before anything is written. */
async function write (visitor: Visitor, tokens: TokenSet, provider?: string): Promise<void> {
  await visitor.request(async (store, context) => {
    await store.get(context)
    await store.set(context, tokens)
  }, provider)
}

async function clear (visitor: Visitor, provider?: string): Promise<void> {
  await visitor.request(async (store, context) => {
    await store.get(context)
    await store.clear(context)
  }, provider)
}

async function holds (visitor: Visitor, tokens: TokenSet | undefined, provider?: string): Promise<void> {
  assert.deepEqual(plain(await read(visitor, provider)), plain(tokens))
}

/** As JSON has it: a member that is `undefined` is none. */
function plain (value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null))
}
