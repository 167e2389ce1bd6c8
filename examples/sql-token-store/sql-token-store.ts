import { createHash, randomBytes } from 'node:crypto'
import type { StoreContext, TokenSet, TokenStore } from 'fastify-token-management'
import { CompactEncrypt, compactDecrypt } from 'jose'

/** What is asked of a database: `pg`'s Pool has it, and PGlite. */
export interface Database {
  query (sql: string, values?: unknown[]): Promise<{ rows: Array<{ tokens?: string }> }>
}

export const schema = `
  create table if not exists token_sessions (
    id         bytea primary key,    -- the SHA-256 of the cookie: whoever reads the table has no cookie from it
    provider   text not null,
    generation integer not null,
    tokens     text not null,        -- sealed by the app: see #seal
    expires_at timestamptz not null, -- put off by use
    ends_at    timestamptz not null  -- and never beyond this
  );
  create index if not exists token_sessions_expires_at on token_sessions (expires_at);
`

const inactivitySeconds = 86_400
const absoluteSeconds = 604_800

/** The tokens in a table; the browser has the id of a row in a cookie for each provider. Wants @fastify/cookie on the app. */
export class SqlTokenStore implements TokenStore {
  readonly #database: Database
  readonly #key: Uint8Array

  /** @param key - 32 random bytes that seal the tokens, kept apart from the database. */
  constructor (database: Database, key: Uint8Array) {
    this.#database = database
    this.#key = key
  }

  async get (context: StoreContext): Promise<TokenSet | null> {
    const { request, provider } = context
    if (request.cookies[cookieName(provider)] === undefined) return null
    const { rows: [row] } = await this.#database.query(
      'select tokens from token_sessions where id = $1 and provider = $2 and expires_at > now()',
      [idOf(context), provider]
    )
    return row?.tokens === undefined ? null : await this.#open(row.tokens)
  }

  /** Generation 0 is a login, and gets a row of its own. A refresh replaces an older generation, and brings nothing back that was deleted. */
  async set (context: StoreContext, tokens: TokenSet): Promise<void> {
    const sealed = await this.#seal(tokens)
    if (tokens.generation === 0) return await this.#start(context, tokens, sealed)
    await this.#database.query(
      `update token_sessions set tokens = $3, generation = $4, expires_at = least(ends_at, now() + make_interval(secs => $5))
       where id = $1 and provider = $2 and generation < $4`,
      [idOf(context), context.provider, sealed, tokens.generation, inactivitySeconds]
    )
  }

  /** A login never goes on with an id that was there before it: somebody else may have put that into the browser. */
  async #start (context: StoreContext, tokens: TokenSet, sealed: string): Promise<void> {
    const { reply, provider } = context
    if (reply.raw.headersSent) throw new Error('The headers are sent: the cookie of a new session cannot be')
    const id = randomBytes(32).toString('base64url')
    await this.#database.query(
      `insert into token_sessions (id, provider, generation, tokens, expires_at, ends_at)
       values ($1, $2, 0, $3, now() + make_interval(secs => $4), to_timestamp($5))`,
      [hash(id), provider, sealed, inactivitySeconds, tokens.startedAt + absoluteSeconds]
    )
    await this.#database.query('delete from token_sessions where id = $1', [idOf(context)])
    reply.setCookie(cookieName(provider), id, cookieAttributes).header('cache-control', 'no-store')
  }

  async clear (context: StoreContext): Promise<void> {
    await this.#database.query('delete from token_sessions where id = $1', [idOf(context)])
    context.reply.clearCookie(cookieName(context.provider), cookieAttributes)
  }

  /** Use puts the end off, at most once in half of the time. */
  async touch (context: StoreContext): Promise<void> {
    await this.#database.query(
      `update token_sessions set expires_at = least(ends_at, now() + make_interval(secs => $2))
       where id = $1 and expires_at > now() and expires_at < least(ends_at, now() + make_interval(secs => $2 / 2))`,
      [idOf(context), inactivitySeconds]
    )
  }

  /** For a timer of the app, or a cron job. */
  async deleteExpired (): Promise<void> {
    await this.#database.query('delete from token_sessions where expires_at <= now()')
  }

  async #seal (tokens: TokenSet): Promise<string> {
    return await new CompactEncrypt(Buffer.from(JSON.stringify(tokens))).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(this.#key)
  }

  async #open (sealed: string): Promise<TokenSet> {
    const { plaintext } = await compactDecrypt(sealed, this.#key)
    return JSON.parse(Buffer.from(plaintext).toString())
  }
}

const cookieAttributes = { path: '/', httpOnly: true, secure: true, sameSite: 'lax' } as const

function cookieName (provider: string): string {
  return `__Host-${provider}-sid`
}

function idOf ({ request, provider }: StoreContext): Buffer {
  return hash(request.cookies[cookieName(provider)] ?? '')
}

function hash (id: string): Buffer {
  return createHash('sha256').update(id).digest()
}
