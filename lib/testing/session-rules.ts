import assert from 'node:assert/strict'
import { clear, holds, read, type Rule, write } from './rule.ts'
import { smallTokenSet, successorOf } from './sample.ts'
import type { StoreWork } from './visitor.ts'

/** That a session begins and ends once, whatever comes late or at the same time. */
export const sessionRules: readonly Rule[] = [
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
