import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { clear, holds, plain, read, type Rule, write } from './rule.ts'
import { fullTokenSet, smallTokenSet, successorOf } from './sample.ts'

const providers = ['default', 'other'] as const

/** That what is written can be read, by whom it belongs to. */
export const keepingRules: readonly Rule[] = [
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
  }
]
