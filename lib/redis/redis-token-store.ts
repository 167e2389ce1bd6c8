import type { FastifyRequest } from 'fastify'
import { HeadersSent } from '../errors.ts'
import { isResponseOpen } from '../stores/open-response.ts'
import { ownerOf } from '../tokens/provider-logout.ts'
import type { SessionQuery } from '../tokens/session-query.ts'
import type { TokenSet } from '../tokens/token-set.ts'
import type { MadeTokenStore, SessionDirectory, StoreContext, TokenStoreSettings } from '../tokens/token-store.ts'
import { type LinkSettings, RedisLink } from './link.ts'
import { SessionCookie } from './session-cookie.ts'
import { SessionIndex } from './session-index.ts'
import { type SessionRecord, SessionRecords } from './session-records.ts'

const SAYING = {
  lost: 'requests that need their session are answered 503 until it answers again; no session is ended by this',
  back: 'sessions are read and written again'
}

/** A record, and the id that it was read by. */
interface Found {
  readonly id: string
  readonly record: SessionRecord
}

/** The whole session in Redis, sealed; the browser has its id. Asked when a token or the claims are asked for, and never else. */
export function makeRedisTokenStore (settings: TokenStoreSettings, how: Pick<LinkSettings, 'redis' | 'timeout' | 'onAvailability'>): MadeTokenStore {
  const { session, clock, log, isCoordinated } = settings
  const link = new RedisLink({ ...how, log, isGoneWhenRefusing: false, saying: SAYING })
  const records = new SessionRecords(settings, link)
  const index = new SessionIndex({ ...settings, keys: session.keys }, link)
  const cookie = new SessionCookie(session)
  const { times } = records
  /** What a request has found, the newest first; or begun by a login. */
  const found = new WeakMap<FastifyRequest, readonly Found[]>()
  const begun = new WeakMap<FastifyRequest, string>()
  const expired = new WeakMap<FastifyRequest, TokenSet>()
  /** One callback of a login that comes several times makes one record. */
  const begunBy = new WeakMap<TokenSet, string>()
  if (!isCoordinated) log.warn('Sessions are on Redis, and there is no coordinator: where the app has more than one process, two may refresh one session at once, which ends it at strict providers. Give coordinator: redisRefreshCoordinator({ redis }); see docs/scaling.md')

  function idsOf (request: FastifyRequest): readonly string[] {
    const id = begun.get(request)
    return id === undefined ? cookie.idsOf(request) : [id]
  }

  async function find (request: FastifyRequest): Promise<readonly Found[]> {
    const read = await Promise.all(idsOf(request).map(async (id) => ({ id, record: await records.read(id) })))
    const living: Found[] = []
    for (const { id, record } of read) {
      if (record === undefined) continue
      if (clock() < times.endOf(record)) living.push({ id, record })
      else expired.set(request, record.tokens)
    }
    living.sort((one, other) => other.record.usedAt - one.record.usedAt)
    found.set(request, living)
    return living
  }

  async function heldBy (request: FastifyRequest): Promise<readonly Found[]> {
    return found.get(request) ?? await find(request)
  }

  async function get ({ request }: StoreContext): Promise<TokenSet | null> {
    const [newest] = await find(request)
    return newest?.record.tokens ?? null
  }

  async function set (context: StoreContext, tokens: TokenSet): Promise<void> {
    if (tokens.generation === 0) return await start(context, tokens)
    const held = (await heldBy(context.request)).find(({ record }) => record.tokens.sessionId === tokens.sessionId)
    if (held !== undefined) await rewrite(context.request, held.id, tokens)
  }

  async function rewrite (request: FastifyRequest, id: string, tokens: TokenSet, newest?: number): Promise<void> {
    const session = { usedAt: Math.floor(clock()), tokens }
    await records.replace(id, session, newest)
    const record = { ...session, isOfOldKey: false }
    found.set(request, found.get(request)?.map((each) => each.id === id ? { id, record } : each) ?? [])
  }

  /** A login gets an id that nobody has seen before (session fixation), and what the browser has come with ends. */
  async function start (context: StoreContext, tokens: TokenSet): Promise<void> {
    if (!isResponseOpen(context)) throw new HeadersSent()
    const { request } = context
    const before = await heldBy(request)
    // The same login, here or in another process: its record may have come further by now.
    const known = begunBy.get(tokens) ?? await idOf(tokens.sessionId)
    const id = known ?? cookie.newId()
    const record = { usedAt: Math.floor(clock()), tokens, isOfOldKey: false }
    if (known === undefined) await Promise.all([records.keep(id, record), enter(id, tokens)])
    begunBy.set(tokens, id)
    for (const earlier of before) if (earlier.id !== id) await end(earlier.id, earlier.record.tokens.sessionId)
    begun.set(request, id)
    found.set(request, [{ id, record }])
    cookie.put(context, id)
  }

  async function clear (context: StoreContext): Promise<void> {
    await drop(context.request)
    if (isResponseOpen(context)) cookie.delete(context)
  }

  /** On the server alone: by now the browser may hold a session of a new login. */
  async function drop (request: FastifyRequest): Promise<void> {
    const held = await heldBy(request)
    await Promise.all(idsOf(request).map((id) => records.drop(id)))
    await Promise.all(held.map(({ record }) => index.remove(record.tokens.sessionId)))
    found.set(request, [])
  }

  /** The use of a session is written down once in half of its inactivity time, and what another key has sealed is sealed again. */
  async function touch ({ request }: StoreContext): Promise<void> {
    for (const { id, record } of found.get(request)?.slice(0, 1) ?? []) {
      const { tokens, isOfOldKey } = record
      if (!isOfOldKey && clock() < times.rollAt(record)) return
      await rewrite(request, id, tokens, tokens.generation)
      if (isOfOldKey) await enter(id, tokens)
    }
  }

  function endsAt ({ request }: StoreContext): number | undefined {
    const [held] = found.get(request) ?? []
    return held && times.endOf(held.record)
  }

  async function enter (id: string, tokens: TokenSet): Promise<void> {
    await index.add({ sessionId: tokens.sessionId, endsAt: tokens.startedAt + session.absoluteDuration, content: Buffer.from(id, 'base64url'), ...ownerOf(tokens) })
  }

  async function idOf (sessionId: string): Promise<string | undefined> {
    const [entry] = await index.find({ sessionId })
    return entry?.content?.toString('base64url')
  }

  /** In this order: what could not be dropped is still found. */
  async function end (id: string, sessionId: string): Promise<void> {
    await records.drop(id)
    await index.remove(sessionId)
  }

  /** A session as it lies there, if it lives. */
  async function living (sessionId: string, id: string): Promise<Found | undefined> {
    const record = await records.read(id)
    return record !== undefined && record.tokens.sessionId === sessionId && clock() < times.endOf(record) ? { id, record } : undefined
  }

  const directory: SessionDirectory = {
    async find (query: SessionQuery) {
      const entries = await index.find(query)
      const all = await Promise.all(entries.map(async ({ sessionId, content }) => await living(sessionId, content?.toString('base64url') ?? '')))
      return all.flatMap((each) => each === undefined ? [] : [each.record.tokens])
    },
    async set (tokens) {
      const id = await idOf(tokens.sessionId)
      const held = id === undefined ? undefined : await living(tokens.sessionId, id)
      if (held !== undefined) await records.replace(held.id, { usedAt: held.record.usedAt, tokens })
    },
    async clear (sessionId) {
      const id = await idOf(sessionId)
      if (id !== undefined) await end(id, sessionId)
    }
  }

  return {
    get,
    set,
    clear,
    touch,
    directory,
    dueAt: () => Infinity,
    endsAt,
    expired: ({ request }) => expired.get(request),
    retract: ({ request }) => drop(request),
    close: () => { link.close() },
    ignoresContext: true
  }
}
