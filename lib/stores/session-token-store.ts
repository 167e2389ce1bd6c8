import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HeadersSent } from '../errors.ts'
import type { CheckedOptions } from '../options-check.ts'
import { isRecord, type TokenSet } from '../token-set.ts'
import type { CookieSeal } from './cookie-seal.ts'
import { createTurns } from './in-turn.ts'
import { type ServerSession, sessionOf, sessionRecords } from './server-session.ts'
import type { StoreContext, TokenStore } from './token-store.ts'

/** All that is in the app's own session, under `tokens:` and the provider's name. */
interface Reference {
  /** Of the record that holds the tokens. */
  readonly id: string
  /** Who has logged in, where an id_token says it. */
  readonly person?: string
}

/** What the record holds; sealed, where there is a key. */
interface Content {
  readonly provider: string
  /** Seconds since the epoch of the last write; `session.inactivityDuration` counts from here. */
  readonly usedAt: number
  readonly tokens: TokenSet
}

const PREFIX = 'tokens:'

/**
 * The tokens on the server, in the store of @fastify/session, whatever that is. They are a record of their own, to which
 * the session refers: @fastify/session writes the whole session that a request has begun with as it ends, and would put the
 * tokens of then over those of a refresh meanwhile, or bring back those of a logout.
 */
export function sessionTokenStore (fastify: FastifyInstance, provider: string, session: CheckedOptions['session'], clock: () => number, seal?: CookieSeal): TokenStore {
  const { inactivityDuration, absoluteDuration } = session
  const key = PREFIX + provider
  /** What a request has come with, or made by a login. */
  const references = new WeakMap<FastifyRequest, Reference>()
  const usedAt = new WeakMap<FastifyRequest, number>()
  // A store of sessions has no conditional write: what is compared and then written takes turns.
  const inTurn = createTurns()

  fastify.addHook('onRequest', (request, _reply, done) => {
    const reference = referenceIn(sessionOf(request), key)
    if (reference !== undefined) references.set(request, reference)
    done()
  })

  async function get ({ request }: StoreContext): Promise<TokenSet | null> {
    const content = await read(request, references.get(request)?.id)
    if (content === undefined) return null
    usedAt.set(request, content.usedAt)
    return content.tokens
  }

  async function set (context: StoreContext, tokens: TokenSet): Promise<void> {
    if (tokens.generation === 0) return await start(context, tokens)
    const { request } = context
    await replace(request, (held) => held.sessionId === tokens.sessionId && held.generation < tokens.generation ? tokens : undefined)
  }

  /** A login gets a session id that nobody has seen before (session fixation). What a visitor has gathered comes along, but nothing of another person's. */
  async function start ({ request, reply }: StoreContext, tokens: TokenSet): Promise<void> {
    const before = sessionOf(request)
    if (before === undefined) throw new Error('there is no session of @fastify/session on this request: it was destroyed (regenerate it instead), or its cookie has another path')
    if (before.cookie.secure === true && request.protocol !== 'https') throw new Error('the cookie of @fastify/session is Secure, and this request came by plain http, so that browsers would not get it: set trustProxy behind a proxy, or cookie.secure to "auto"')
    if (reply.sent || reply.raw.headersSent) throw new HeadersSent()
    const replaced = references.get(request)
    const person = personOf(tokens)
    const reference: Reference = { id: randomUUID(), ...(person !== undefined && { person }) }
    await write(request, reference.id, tokens)
    const comesAlong = replaced === undefined || (person !== undefined && person === replaced.person)
    before[key] = reference
    await before.regenerate(comesAlong ? Object.keys(before).filter((name) => name !== 'cookie') : [key])
    references.set(request, reference)
    if (replaced !== undefined) await sessionRecords.destroy(request, replaced.id)
  }

  /** A logout ends the app's session as well; that of another provider goes on with what there is. */
  async function clear ({ request }: StoreContext): Promise<void> {
    const reference = references.get(request)
    references.delete(request)
    if (reference !== undefined) await inTurn(reference.id, () => sessionRecords.destroy(request, reference.id))
    const current = sessionOf(request)
    if (current === undefined || referenceIn(current, key)?.id !== reference?.id) return // the app has ended it itself
    if (!Object.keys(current).some((name) => name !== key && name.startsWith(PREFIX))) return await current.regenerate()
    delete current[key]
    await current.save()
  }

  async function touch ({ request }: StoreContext): Promise<void> {
    if (clock() >= (usedAt.get(request) ?? Infinity) + inactivityDuration / 2) await replace(request, (held) => held)
  }

  /** Writes what takes the place of what is there; what was ended meanwhile stays so. */
  async function replace (request: FastifyRequest, successorOf: (held: TokenSet) => TokenSet | undefined): Promise<void> {
    const id = references.get(request)?.id
    if (id === undefined) return
    await inTurn(id, async () => {
      const content = await read(request, id)
      const successor = content && successorOf(content.tokens)
      if (successor !== undefined) await write(request, id, successor)
    })
  }

  async function read (request: FastifyRequest, id: string | undefined): Promise<Content | undefined> {
    if (id === undefined) return undefined
    const record = await sessionRecords.read(request, id)
    if (!isRecord(record)) return undefined
    const content = seal === undefined ? record.content : seal.open(String(record.content), request.log)?.content
    return isContent(content) && content.provider === provider && clock() < endOf(content) ? content : undefined
  }

  async function write (request: FastifyRequest, id: string, tokens: TokenSet): Promise<void> {
    const content: Content = { provider, usedAt: Math.floor(clock()), tokens }
    const maxAge = Math.ceil((endOf(content) - content.usedAt) * 1000)
    await sessionRecords.write(request, id, {
      cookie: { expires: new Date(endOf(content) * 1000), maxAge, originalMaxAge: maxAge },
      content: seal === undefined ? content : seal.seal({ ...content })
    })
  }

  function endOf ({ usedAt, tokens }: Content): number {
    return Math.min(usedAt + inactivityDuration, tokens.startedAt + absoluteDuration)
  }

  return {
    get,
    set,
    clear,
    touch,
    endedByApp: ({ request }) => references.has(request) && referenceIn(sessionOf(request), key)?.id !== references.get(request)?.id
  }
}

function referenceIn (session: ServerSession | undefined, key: string): Reference | undefined {
  const reference = session?.[key]
  return isReference(reference) ? reference : undefined
}

function isReference (value: unknown): value is Reference {
  return isRecord(value) && typeof value.id === 'string'
}

function isContent (content: unknown): content is Content {
  return isRecord(content) && typeof content.provider === 'string' && typeof content.usedAt === 'number' && isRecord(content.tokens)
}

function personOf ({ identity }: TokenSet): string | undefined {
  return typeof identity?.sub === 'string' ? `${String(identity.iss)} ${identity.sub}` : undefined
}
