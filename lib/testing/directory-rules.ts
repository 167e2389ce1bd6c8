import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { SessionQuery } from '../tokens/session-query.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { SessionDirectory } from '../tokens/token-store.ts'
import { clear, holds, plain, read, type Rule, write } from './rule.ts'
import { fullTokenSet, successorOf } from './sample.ts'
import type { StoreApp } from './visitor.ts'

const provider = 'default'

/** A rule for stores that find sessions without a request; the others keep it as they are. */
function ofDirectory (name: string, check: (app: StoreApp, directory: SessionDirectory) => Promise<void>): Rule {
  return {
    name: `a directory ${name}`,
    async check (app) {
      if (app.store.directory !== undefined) await check(app, app.store.directory)
    }
  }
}

/** A login of somebody whom no other test knows. */
function loginOf (sub: string = randomUUID(), sid: string = randomUUID()): TokenSet {
  const tokens = fullTokenSet()
  return { ...tokens, sessionId: randomUUID(), identity: { ...tokens.identity, sub }, claims: { ...tokens.claims, sub, sid } }
}

async function finds (directory: SessionDirectory, query: SessionQuery, expected: readonly TokenSet[], name = provider): Promise<void> {
  const inOrder = (all: readonly TokenSet[]) => [...all].sort((one, other) => one.sessionId < other.sessionId ? -1 : 1).map(plain)
  assert.deepEqual(inOrder(await directory.find(query, name)), inOrder(expected))
}

/** That sessions can be found, written and ended without a request, as they are with one. */
export const directoryRules: readonly Rule[] = [
  ofDirectory('finds sessions by their id, by the sub of their identity and by the sid of their claims, and of one provider', async (app, directory) => {
    const [alice, bob] = [randomUUID(), randomUUID()]
    const [one, two, other] = [loginOf(alice), loginOf(alice), loginOf(bob)]
    const visitor = app.visitor()
    await write(visitor, one)
    for (const tokens of [two, other]) await write(app.visitor(), tokens)
    const successor = successorOf(one)
    await write(visitor, successor)
    await finds(directory, { sessionId: one.sessionId }, [successor])
    await finds(directory, { sub: alice }, [successor, two])
    await finds(directory, { sid: String(two.claims?.sid) }, [two])
    for (const query of [{ sub: randomUUID() }, { sid: alice }, { sessionId: alice }]) await finds(directory, query, [])
    await finds(directory, { sub: alice }, [], 'other')
  }),
  ofDirectory('keeps a successor for the browser, and of several the highest generation', async (app, directory) => {
    const visitor = app.visitor()
    const tokens = loginOf()
    await write(visitor, tokens)
    await Promise.all([2, 3, 1].map(async (generation) => await directory.set(successorOf(tokens, generation), provider)))
    const highest = await read(visitor)
    assert.equal(highest?.generation, 3)
    await directory.set(successorOf(tokens, 2), provider)
    await holds(visitor, highest)
  }),
  ofDirectory('ends a session for its browser too, and no late successor brings it back', async (app, directory) => {
    const visitor = app.visitor()
    const [tokens, other] = [loginOf('alice'), loginOf('alice')]
    await write(visitor, tokens)
    const elsewhere = app.visitor()
    await write(elsewhere, other)
    const late = visitor.copy()
    await directory.clear(tokens.sessionId, provider)
    await directory.clear(tokens.sessionId, provider)
    await directory.set(successorOf(tokens), provider)
    await write(late, successorOf(tokens))
    for (const each of [visitor, late]) assert.equal(await read(each), null)
    await finds(directory, { sessionId: tokens.sessionId }, [])
    await holds(elsewhere, other)
  }),
  ofDirectory('finds nothing of a session that has ended by a request, or that a login has replaced', async (app, directory) => {
    const visitor = app.visitor()
    const [first, second] = [loginOf(), loginOf()]
    await write(visitor, first)
    await write(visitor, second)
    await finds(directory, { sessionId: first.sessionId }, [])
    await finds(directory, { sub: String(first.identity?.sub) }, [])
    await finds(directory, { sessionId: second.sessionId }, [second])
    await clear(visitor)
    await finds(directory, { sessionId: second.sessionId }, [])
    await directory.set(successorOf(second), provider)
    assert.equal(await read(visitor), null)
  })
]
