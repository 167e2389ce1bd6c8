import assert from 'node:assert/strict'
import type { TokenSet } from '../tokens/token-set.ts'
import type { StoreApp, Visitor } from './visitor.ts'

/** A rule, as a sentence, and what holds it. */
export interface Rule {
  readonly name: string
  readonly check: (app: StoreApp) => Promise<void>
}

export async function read (visitor: Visitor, provider?: string): Promise<TokenSet | null> {
  return await visitor.request(async (store, context) => await store.get(context), provider)
}

/** As the plugin does it: what there is is read before anything is written. */
export async function write (visitor: Visitor, tokens: TokenSet, provider?: string): Promise<void> {
  await visitor.request(async (store, context) => {
    await store.get(context)
    await store.set(context, tokens)
  }, provider)
}

export async function clear (visitor: Visitor, provider?: string): Promise<void> {
  await visitor.request(async (store, context) => {
    await store.get(context)
    await store.clear(context)
  }, provider)
}

export async function holds (visitor: Visitor, tokens: TokenSet | undefined, provider?: string): Promise<void> {
  assert.deepEqual(plain(await read(visitor, provider)), plain(tokens))
}

/** As JSON has it: a member that is `undefined` is none. */
export function plain (value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null))
}
