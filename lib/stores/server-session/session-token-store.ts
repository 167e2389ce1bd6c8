import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HeadersSent } from '../../errors.ts'
import { isRecord } from '../../tokens/record.ts'
import type { TokenSet } from '../../tokens/token-set.ts'
import { createTurns } from './in-turn.ts'
import { type ServerSession, sessionOf } from './fastify-session.ts'
import { type TokenRecord, TokenRecords, type TokenRecordsSettings } from './token-records.ts'
import type { StoreContext, TokenStore } from '../../tokens/token-store.ts'

/** All that is in the app's own session, under `tokens:` and the provider's name. */
interface Reference {
  /** Of the record that holds the tokens. */
  readonly id: string
  /** Who has logged in, where an id_token says it. */
  readonly person?: string
}

const PREFIX = 'tokens:'

/**
 * The tokens on the server, in the store of @fastify/session, whatever that is. They are a record of their own, to which
 * the session refers: @fastify/session writes the whole session that a request has begun with as it ends, and would put the
 * tokens of then over those of a refresh meanwhile, or bring back those of a logout.
 */
export function sessionTokenStore (fastify: FastifyInstance, settings: TokenRecordsSettings): TokenStore {
  const key = PREFIX + settings.name
  const records = new TokenRecords(settings)
  /** What a request has come with, or made by a login. */
  const references = new WeakMap<FastifyRequest, Reference | undefined>()
  const held = new WeakMap<FastifyRequest, TokenRecord>()
  /** One callback of a login that comes several times makes one record. */
  const begunBy = new WeakMap<TokenSet, Reference>()
  // A store of sessions has no conditional write: what is compared and then written takes turns.
  const inTurn = createTurns()

  fastify.addHook('onRequest', (request, _reply, done) => {
    referenceOf(request)
    done()
  })

  /** Noted as the request begins, by the hook or whoever comes before it: the app may end its session later. */
  function referenceOf (request: FastifyRequest): Reference | undefined {
    if (!references.has(request)) references.set(request, referenceIn(sessionOf(request), key))
    return references.get(request)
  }

  async function get ({ request }: StoreContext): Promise<TokenSet | null> {
    const reference = referenceOf(request)
    const record = reference && await records.read(request, reference.id)
    if (record === undefined) return null
    held.set(request, record)
    return record.tokens
  }

  async function set (context: StoreContext, tokens: TokenSet): Promise<void> {
    if (tokens.generation === 0) return await start(context, tokens)
    await replace(context.request, (before) => before.sessionId === tokens.sessionId && before.generation < tokens.generation ? tokens : undefined)
  }

  /** A login gets a session id that nobody has seen before (session fixation). What a visitor has gathered comes along, but nothing of another person's. */
  async function start ({ request, reply }: StoreContext, tokens: TokenSet): Promise<void> {
    const session = loginSession(request)
    if (reply.sent || reply.raw.headersSent) throw new HeadersSent()
    const replaced = referenceOf(request)
    const person = personOf(tokens)
    const begun = begunBy.get(tokens)
    const reference: Reference = begun ?? { id: randomUUID(), ...(person !== undefined && { person }) }
    if (begun === undefined) held.set(request, await records.write(request, reference.id, tokens))
    begunBy.set(tokens, reference)
    const comesAlong = replaced === undefined || (person !== undefined && person === replaced.person)
    session[key] = reference
    await session.regenerate(comesAlong ? Object.keys(session).filter((name) => name !== 'cookie') : [key])
    references.set(request, reference)
    if (replaced !== undefined && replaced.id !== reference.id) await inTurn(replaced.id, () => records.destroy(request, replaced.id))
  }

  /** A logout ends the app's session as well; that of another provider goes on with what there is. */
  async function clear ({ request }: StoreContext): Promise<void> {
    const reference = referenceOf(request)
    await destroy(request)
    const session = sessionOf(request)
    if (session === undefined || referenceIn(session, key)?.id !== reference?.id) return // the app has ended it itself
    if (!Object.keys(session).some((name) => name !== key && name.startsWith(PREFIX))) return await session.regenerate()
    delete session[key]
    await session.save()
  }

  /** Of the record alone: by now the browser may hold a session of a new login. */
  async function destroy (request: FastifyRequest): Promise<void> {
    const reference = referenceOf(request)
    if (reference === undefined) return
    await inTurn(reference.id, () => records.destroy(request, reference.id))
    references.set(request, undefined)
  }

  async function touch ({ request }: StoreContext): Promise<void> {
    if (held.get(request)?.isToBeWritten) await replace(request, (tokens) => tokens)
  }

  /** Writes what takes the place of what is there; what was ended meanwhile stays so. */
  async function replace (request: FastifyRequest, successorOf: (before: TokenSet) => TokenSet | undefined): Promise<void> {
    const reference = referenceOf(request)
    if (reference === undefined) return
    await inTurn(reference.id, async () => {
      const record = await records.read(request, reference.id)
      const successor = record && successorOf(record.tokens)
      if (successor !== undefined) held.set(request, await records.write(request, reference.id, successor))
    })
  }

  function dueAt ({ request }: StoreContext): number | undefined {
    const reference = referenceOf(request)
    return reference === undefined ? Infinity : records.dueAt(reference.id)
  }

  function endedByApp ({ request }: StoreContext): boolean {
    const reference = referenceOf(request)
    return reference !== undefined && referenceIn(sessionOf(request), key)?.id !== reference.id
  }

  const endsAt = ({ request }: StoreContext): number | undefined => held.get(request)?.endsAt
  return { get, set, clear, touch, dueAt, endsAt, endedByApp, expired: ({ request }) => records.expired(request), retract: ({ request }) => destroy(request), ignoresContext: true }
}

/** The session that a login goes into; its cookie has to reach the browser. */
function loginSession (request: FastifyRequest): ServerSession {
  const session = sessionOf(request)
  if (session === undefined) throw new Error('there is no session of @fastify/session on this request: it was destroyed (regenerate it instead), or its cookie has another path')
  if (session.cookie.secure === true && request.protocol !== 'https') throw new Error('the cookie of @fastify/session is Secure, and this request came by plain http, so that browsers would not get it: set trustProxy behind a proxy, or cookie.secure to "auto"')
  return session
}

function referenceIn (session: ServerSession | undefined, key: string): Reference | undefined {
  const reference = session?.[key]
  return isReference(reference) ? reference : undefined
}

function isReference (value: unknown): value is Reference {
  return isRecord(value) && typeof value.id === 'string'
}

function personOf ({ identity }: TokenSet): string | undefined {
  return typeof identity?.sub === 'string' ? `${String(identity.iss)} ${identity.sub}` : undefined
}
