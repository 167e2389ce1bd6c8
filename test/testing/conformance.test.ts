import { randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import type { FastifyInstance } from 'fastify'
import { test } from 'tap'
import tokenManagement, { type SessionDirectory, type SessionQuery, type StoreContext, type TokenSet, type TokenStore } from '../../lib/index.ts'
import { tokenStoreConformance, type ConformanceOptions } from '../../lib/testing.ts'
import { rules } from '../../lib/testing/rules.ts'
import { fullTokenSet } from '../../lib/testing/sample.ts'
import { JsonSessionStore } from '../support/json-session-store.ts'
import { sessionKey } from '../support/start-app.ts'

/** The plugin's own store on an app, for the two providers of the kit. */
async function ownStore (app: FastifyInstance, session: { key?: string }): Promise<TokenStore> {
  const issuer = 'https://idp.example.com'
  for (const name of ['default', 'other']) {
    await app.register(tokenManagement, { name, metadata: { issuer, token_endpoint: `${issuer}/token` }, clientId: 'web', clientSecret: 'secret', session, refresh: 'manual' })
  }
  return app.tokenStore
}

const cookieStore = async (app: FastifyInstance) => await ownStore(app, { key: sessionKey })

test('the session cookie conforms', async (t) => {
  await tokenStoreConformance(t, cookieStore)
})

for (const own of [{}, { key: sessionKey }]) {
  test(`the store of @fastify/session conforms, ${own.key ? 'sealed' : 'in clear'}`, async (t) => {
    let store = new JsonSessionStore()
    await tokenStoreConformance(t, async (app) => {
      store = new JsonSessionStore()
      await app.register(cookie)
      await app.register(session, { secret: 'a secret of the session, long enough', store })
      return await ownStore(app, own)
    }, { breakDown: () => { store.failure = new Error('the connection is down') } })
  })
}

/** A right store, in parts that the tests below replace by wrong ones. */
class MemoryStore implements TokenStore {
  readonly sessions = new Map<string, TokenSet>()
  isDown = false

  async get (context: StoreContext): Promise<TokenSet | null> {
    await this.later()
    return this.sessions.get(this.keyOf(context)) ?? null
  }

  async set (context: StoreContext, tokens: TokenSet): Promise<void> {
    await this.later()
    if (tokens.generation === 0) {
      this.sessions.delete(this.keyOf(context))
      this.sessions.set(this.keyOf(context, this.newId(context)), tokens)
    } else {
      const held = this.sessions.get(this.keyOf(context))
      if (held && held.generation < tokens.generation) this.sessions.set(this.keyOf(context), tokens)
    }
  }

  async clear (context: StoreContext): Promise<void> {
    await this.later()
    this.sessions.delete(this.keyOf(context))
  }

  keyOf ({ request, provider }: StoreContext, id = request.cookies[`${provider}-sid`]): string {
    return `${provider} ${id}`
  }

  newId ({ reply, provider }: StoreContext): string {
    const id = randomUUID()
    reply.setCookie(`${provider}-sid`, id)
    return id
  }

  async later (): Promise<void> {
    await new Promise(setImmediate)
    if (this.isDown) throw new Error('the database is down')
  }
}

/** The same, which finds its sessions without a request, too. */
class DirectoryStore extends MemoryStore {
  readonly directory: SessionDirectory = {
    find: async (query, provider) => {
      await this.later()
      return this.entriesOf(provider).map(([, tokens]) => tokens).filter((tokens) => isMeant(tokens, query))
    },
    set: async (tokens, provider) => {
      await this.later()
      for (const [key, { sessionId, generation }] of this.entriesOf(provider)) if (sessionId === tokens.sessionId && generation < tokens.generation) this.sessions.set(key, tokens)
    },
    clear: async (sessionId, provider) => {
      await this.later()
      for (const [key, tokens] of this.entriesOf(provider)) if (tokens.sessionId === sessionId) this.sessions.delete(key)
    }
  }

  entriesOf (provider: string): Array<[string, TokenSet]> {
    return [...this.sessions].filter(([key]) => key.startsWith(`${provider} `))
  }
}

function isMeant ({ sessionId, identity, claims }: TokenSet, query: SessionQuery): boolean {
  if ('sub' in query) return identity?.sub === query.sub
  return 'sid' in query ? claims?.sid === query.sid : sessionId === query.sessionId
}

/** The rules that a store breaks. */
async function broken (create: (app: FastifyInstance) => TokenStore | Promise<TokenStore>, options?: ConformanceOptions): Promise<string[]> {
  const names: string[] = []
  await tokenStoreConformance({
    async test (name, run) {
      await run(undefined).catch(() => names.push(name))
    }
  }, async (app) => {
    await app.register(cookie)
    return await create(app)
  }, options)
  return names
}

test('a right store breaks no rule, and one that can break down is tested for that too', async (t) => {
  let store = new MemoryStore()
  t.strictSame(await broken(() => { store = new MemoryStore(); return store }, { breakDown: () => { store.isDown = true } }), [])
})

const rightly = new MemoryStore()
type Part = Partial<MemoryStore> & ThisType<MemoryStore>
const wrong: Record<string, Array<[string, Part & Pick<TokenStore, 'touch'>]>> = {
  'without a session there are no tokens': [['undefined for null', { get: async () => undefined as never }]],
  'a successor takes the place': [['members of before stay', {
    async set (context, tokens) {
      await rightly.set.call(this, context, { ...tokens.generation > 0 && this.sessions.get(this.keyOf(context)), ...tokens })
    }
  }]],
  'sessions do not know each other': [['one for all', { keyOf: ({ provider }) => provider }]],
  'providers do not know each other': [
    ['one for all', { keyOf: ({ request }, id = request.cookies.sid) => String(id), newId: ({ reply }) => { reply.setCookie('sid', 'x'); return 'x' } }],
    ['all end together', { async clear () { this.sessions.clear() } }]
  ],
  'session fixation': [['an id that was there stays', {
    async get (context) {
      if (context.request.cookies[`${context.provider}-sid`] === undefined) rightly.newId(context)
      return await rightly.get.call(this, context)
    },
    newId: (context) => context.request.cookies[`${context.provider}-sid`] ?? rightly.newId(context)
  }]],
  'what is cleared stays so': [
    ['only the cookie goes', { async clear ({ reply, provider }) { reply.clearCookie(`${provider}-sid`) } }],
    ['a successor makes a session', {
      async set (context, tokens) {
        if (tokens.generation > 0 && !this.sessions.has(this.keyOf(context))) this.sessions.set(this.keyOf(context), tokens)
        await rightly.set.call(this, context, tokens)
      }
    }]
  ],
  'the highest generation wins': [
    ['the last one wins', {
      async set (context, tokens) {
        if (tokens.generation > 0) this.sessions.delete(this.keyOf(context))
        if (tokens.generation > 0) this.sessions.set(this.keyOf(context), tokens)
        else await rightly.set.call(this, context, tokens)
      }
    }],
    ['looked at long before it is written', {
      async set (context, tokens) {
        const isNewer = (this.sessions.get(this.keyOf(context))?.generation ?? 0) < tokens.generation
        await this.later()
        if (isNewer) this.sessions.set(this.keyOf(context), tokens)
        else await rightly.set.call(this, context, tokens)
      }
    }]
  ],
  '100 KB': [
    ['it is lost without a word', { async set (context, tokens) { if (JSON.stringify(tokens).length < 50_000) await rightly.set.call(this, context, tokens) } }],
    ['the column is too short', {
      async set (context, tokens) {
        if (JSON.stringify(tokens).length > 50_000) throw new Error('value too long for type character varying(50000)')
        await rightly.set.call(this, context, tokens)
      }
    }]
  ],
  'touch changes nothing': [
    ['it ends the session', { async touch (context: StoreContext) { this.sessions.delete(this.keyOf(context)) } }],
    ['it starts a session', { async touch (context: StoreContext) { if (!await this.get(context)) await this.set(context, fullTokenSet()) } }]
  ]
}

for (const [rule, stores] of Object.entries(wrong)) {
  for (const [name, part] of stores) {
    test(`the kit catches a store that is wrong: ${rule}: ${name}`, async (t) => {
      const caught = await broken(() => Object.assign(new MemoryStore(), part))
      t.ok(caught.some((name) => name.includes(rule)), caught.join('\n'))
    })
  }
}

test('a right directory breaks no rule, and the kit catches those that are wrong', async (t) => {
  t.strictSame(await broken(() => new DirectoryStore()), [])
  const wrong: Array<[string, (right: DirectoryStore) => Partial<SessionDirectory>]> = [
    ['finds sessions by their id', ({ directory }) => ({ find: async (query) => await directory.find(query, 'default') })],
    ['finds sessions by their id', ({ entriesOf, sessions }) => ({ find: async (_query, provider) => entriesOf.call({ sessions } as DirectoryStore, provider).map(([, tokens]) => tokens) })],
    ['finds sessions by their id', ({ directory }) => ({ find: async (query, provider) => 'sid' in query ? [] : await directory.find(query, provider) })],
    ['keeps a successor', () => ({ set: async () => {} })],
    ['keeps a successor', (store) => ({
      set: async (tokens, provider) => { for (const [key, { sessionId }] of store.entriesOf(provider)) if (sessionId === tokens.sessionId) store.sessions.set(key, tokens) }
    })],
    ['ends a session', () => ({ clear: async () => {} })],
    ['ends a session', (store) => ({ clear: async () => { store.sessions.clear() } })]
  ]
  for (const [rule, part] of wrong) {
    const caught = await broken(() => {
      const store = new DirectoryStore()
      return Object.assign(store, { directory: { ...store.directory, ...part(store) } })
    })
    t.ok(caught.some((name) => name.startsWith(`a directory ${rule}`)), `${rule}: ${caught.join(', ')}`)
  }
  const remembering = await broken(() => {
    const store = new DirectoryStore()
    const all: TokenSet[] = []
    const { set } = store
    return Object.assign(store, {
      set: async (context: StoreContext, tokens: TokenSet) => {
        all.push(tokens)
        await set.call(store, context, tokens)
      },
      directory: { ...store.directory, find: async (query: SessionQuery, provider: string) => provider === 'default' ? all.filter((tokens) => isMeant(tokens, query)).slice(-1) : [] }
    })
  })
  t.ok(remembering.some((name) => name.startsWith('a directory finds nothing of a session that has ended')), remembering.join())
})

test('the kit catches a store that loses a field, changes one or adds one', async (t) => {
  const [rule = ''] = rules.filter(({ name }) => name.includes('comes back as it was')).map(({ name }) => name)
  const { accessTokens: [first, ...others], ...fields } = fullTokenSet()
  const losses: Array<[string, (tokens: TokenSet) => unknown]> = [
    ...[...Object.keys(fields), 'accessTokens'].map((field): typeof losses[number] => [field, (tokens) => ({ ...tokens, [field]: undefined })]),
    ...['accessToken', ...new Set([first, ...others].flatMap((token) => Object.keys(token ?? {})))].map((field): typeof losses[number] =>
      [`accessTokens.${field}`, (tokens) => ({ ...tokens, accessTokens: tokens.accessTokens.map((token) => ({ ...token, [field]: undefined })) })]),
    ['all but one access token', (tokens) => ({ ...tokens, accessTokens: tokens.accessTokens.slice(0, 1) })],
    ['their order', (tokens) => ({ ...tokens, accessTokens: tokens.accessTokens.toReversed() })],
    ['fractions of seconds', (tokens) => ({ ...tokens, accessTokens: tokens.accessTokens.map((token) => ({ ...token, issuedAt: Math.floor(token.issuedAt) })) })],
    ['null for nothing', (tokens) => ({ refreshToken: null, ...tokens })],
    ['what is not ASCII', (tokens) => JSON.parse(JSON.stringify(tokens).replaceAll('✓', '?'))]
  ]
  for (const [name, lose] of losses) {
    const caught = await broken(() => Object.assign(new MemoryStore(), {
      async get (this: MemoryStore, context: StoreContext) {
        const tokens = await rightly.get.call(this, context)
        return tokens && lose(tokens) as TokenSet
      }
    }))
    t.ok(caught.includes(rule), name)
  }
})

test('the kit catches a store that changes what it is given', async (t) => {
  const caught = await broken(() => Object.assign(new MemoryStore(), {
    async set (this: MemoryStore, context: StoreContext, tokens: TokenSet) {
      await rightly.set.call(this, context, Object.assign(tokens, { savedAt: 1 }))
    }
  }))
  t.ok(caught.length > 1)
})

test('the kit catches a store that takes an outage for a logout, or for a success', async (t) => {
  for (const method of ['get', 'set', 'clear'] as const) {
    let store = new MemoryStore()
    const caught = await broken(() => {
      store = new MemoryStore()
      const right = store[method].bind(store) as (context: StoreContext, tokens?: TokenSet) => Promise<TokenSet | null | void>
      return Object.assign(store, { [method]: async (context: StoreContext, tokens?: TokenSet) => await right(context, tokens).catch(() => null) })
    }, { breakDown: () => { store.isDown = true } })
    t.match(caught, [/what fails is thrown/], method)
  }
})

test('the kit catches a cookie store whose retract takes nothing back, and one that refuses what is too large in its own way', async (t) => {
  t.match(await broken(async (app) => ({ ...await cookieStore(app), retract: () => {} })), [/what is retracted/])
  t.match(await broken(async (app) => {
    const store = await cookieStore(app)
    return { ...store, set: async (context, tokens) => { try { await store.set(context, tokens) } catch { throw new Error('too large') } } }
  }), [/100 KB/])
})

test('what the kit says is of use: a request that fails before the store, and an assertion for runners that count them', async (t) => {
  const names: string[] = []
  const passed: string[] = []
  let failure: unknown
  await tokenStoreConformance({
    async test (name, run) {
      names.push(name)
      await run({ pass: (message: string) => passed.push(message) }).catch((error: unknown) => { failure = error })
    }
  }, (app) => {
    app.addHook('onRequest', async () => { throw new Error('no session today') })
    return new MemoryStore()
  })
  t.strictSame(names, rules.map(({ name }) => name))
  t.strictSame(passed, ['what is retracted does not reach the browser', ...names.filter((name) => name.startsWith('a directory '))], 'which is nothing to this store')
  t.match(failure, { message: /answered with 500: .*no session today/ })
})
