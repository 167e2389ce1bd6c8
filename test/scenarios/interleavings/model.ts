import assert from 'node:assert'
import type { AuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import type { RequestRecord } from '../../../lib/testing/provider/request-log.ts'
import { type Meaning, type Script, type TroubleName, troubles, type Wish } from './script.ts'
import { sender } from './app-process.ts'
import type { Witness } from './world.ts'

/** Seconds that a successor is remembered after its cookie has come back, and a dead cookie is left alone: the plugin's default. */
const grace = 30

/** One login, as the model knows it. */
export interface Session {
  /** Its id at the server. */
  readonly family: string
  /** How it is ended here: the request for that is under way. */
  ending?: 'clear' | 'revoke' | 'login'
  /** The request that ends it is answered. */
  hasEnded: boolean
  /** The same person has logged in again: it is served for a while, and written no more. */
  isReplaced: boolean
  /** When the app was told first that it is dead, and whether that cannot be a race. */
  dead?: { readonly at: number, readonly forSure: boolean }
  /** When the app was told first that it is refused, without a reason, and how often. */
  refused?: { readonly at: number, readonly times: number }
  /** The app has wiped it, since the server called it dead: then it is not revoked any more. */
  isWiped: boolean
  /** The server has rotated, and the app will never hear of the new refresh token. */
  isLost: boolean
  /** The app has got a refresh token after the session had ended. */
  cameTooLate: boolean
  /** Something was done with it while the processes could not tell each other: then two may do the same. */
  isTorn: boolean
  /** Whether anything has gone wrong with its requests, and whether a wish of it was refused. */
  isTroubled: boolean
  isWishRefused: boolean
}

/** All cookies of a browser at one time. */
export interface Cookies {
  readonly header: string
  readonly session: Session
  /** When the app has seen them first. */
  sentAt?: number
  /** When it has seen newer ones of the same session. */
  supersededAt?: number
}

/** What one request was answered. */
export interface Reply {
  readonly status: number
  readonly code: string | undefined
  readonly token: string | undefined
  readonly cookies: 'set' | 'cleared' | 'unchanged'
}

interface Presentation {
  readonly meaning?: Meaning
  /** Who has presented it. */
  readonly by?: string
  /** What was said of it to the others is lost: that it is dead is known to who has presented it, and to nobody else. */
  readonly isUntold?: boolean
  /** How often the clock had been moved when the answer went out. */
  readonly answeredAfter?: number
}

/** What must hold, whatever happens. Each throws a sentence that says what must not be. */
export class Model implements Witness {
  readonly #server: AuthorizationServer
  readonly #rotation: Script['rotation']
  readonly #sessions = new Map<string, Session>()
  readonly #presentations = new Map<string, Presentation>()
  /** Seconds that have passed: unlike the clock it never goes back. */
  #stopwatch = 0
  #clockMoves = 0
  readonly #presentedAfter = new WeakMap<RequestRecord, number>()

  constructor (server: AuthorizationServer, rotation: Script['rotation']) {
    this.#server = server
    this.#rotation = rotation
  }

  get now (): number {
    return this.#stopwatch
  }

  clockMoved (seconds: number): void {
    if (seconds !== 0) this.#clockMoves++
    this.#stopwatch += Math.max(0, seconds)
  }

  loggedIn (refreshToken: string): Session {
    const session: Session = { family: this.#server.familyOf(refreshToken)?.id ?? '', hasEnded: false, isReplaced: false, isWiped: false, isLost: false, cameTooLate: false, isTorn: false, isTroubled: false, isWishRefused: false }
    this.#sessions.set(session.family, session)
    return session
  }

  /** An empty Redis knows nothing of whose turn it is, and of what is dead: successors are told it again, and no more. */
  redisEmptied (): void {
    for (const [token, presentation] of this.#presentations) {
      const { answeredAfter } = presentation
      this.#presentations.set(token, { ...presentation, isUntold: true })
      const session = this.#sessions.get(this.#server.familyOf(token)?.id ?? '')
      if (answeredAfter === undefined && session !== undefined) session.isTorn = true
    }
  }

  presented (record: RequestRecord, isTorn: boolean): void {
    const { token, session, by } = this.#subject(record)
    session.isTorn ||= isTorn
    if (!session.isTorn) this.#judgePresentation(token, session, by)
    this.#presentations.set(token, { by })
    this.#presentedAfter.set(record, this.#clockMoves)
  }

  #judgePresentation (token: string, session: Session, by: string): void {
    const { meaning, answeredAfter, by: before, isUntold } = this.#presentations.get(token) ?? { answeredAfter: 0, meaning: 'kept' }
    assert(answeredAfter !== undefined, 'a refresh token is presented while it is presented already')
    // A pause is each process's own.
    const mayBeTriedAgain = answeredAfter < this.#clockMoves || by !== before
    assert(meaning !== 'spent', 'a refresh token is presented that is known to be spent')
    assert(meaning !== 'dead' || (isUntold && by !== before), 'a refresh token is presented that is known to be dead')
    assert(meaning === 'kept' || mayBeTriedAgain, 'a refresh token is presented again at once, though it may be spent')
    assert(!session.hasEnded, 'a refresh token is presented of a session that has ended')
  }

  processed (record: RequestRecord, trouble: TroubleName | null): void {
    const { token, session, by } = this.#subject(record)
    const meaning = this.#meaning(record, session, trouble)
    if (trouble !== null) session.isTroubled = true
    if (isOfWish(record) && (!this.#isAlive(session) || trouble !== null)) session.isWishRefused = true
    this.#presentations.set(token, { meaning, by })
    const hasRotated = this.#rotation === 'new' && (trouble === null || troubles[trouble].processing !== 'none') && this.#isAlive(session)
    if (hasRotated && meaning !== 'spent' && meaning !== 'dead') session.isLost = true
    if (meaning === 'dead') session.dead ??= { at: Infinity, forSure: trouble === 'another subject' }
  }

  answered (record: RequestRecord): void {
    const { token, session, by } = this.#subject(record)
    const { meaning } = this.#presentations.get(token) ?? {}
    this.#presentations.set(token, { ...meaning && { meaning }, by, answeredAfter: this.#clockMoves })
    // What takes so long may bring a token that has expired by then.
    if (this.#presentedAfter.get(record) !== this.#clockMoves) session.isTroubled = true
    if (meaning === 'dead') session.dead = { at: Math.min(session.dead?.at ?? Infinity, this.now), forSure: session.dead?.forSure ?? false }
    if (meaning === 'refused') session.refused = { at: session.refused?.at ?? this.now, times: (session.refused?.times ?? 0) + 1 }
    if (meaning === 'spent' && session.hasEnded) session.cameTooLate = true
  }

  /** Judges the answer to a request that came with these cookies, when the session had ended already or not. */
  judge (cookies: Cookies | undefined, hadEnded: boolean, wish: Wish, reply: Reply): void {
    assert([200, 401, 502, 503].includes(reply.status) || (reply.status === 500 && wish.ending === 'fail'), `a request is answered with ${reply.status}`)
    if (cookies === undefined) {
      assert.deepEqual([reply.status, reply.cookies], [401, 'unchanged'], 'somebody without a cookie is somebody')
      return
    }
    const { session } = cookies
    if (reply.token !== undefined) this.#judgeToken(reply.token, session, wish)
    if (session.isTorn) return
    if (hadEnded) assert.equal(reply.code, 'FST_TOKEN_UNAUTHENTICATED', 'a session that has ended comes back')
    if (session.hasEnded || session.isReplaced) assert.equal(reply.cookies, 'unchanged', 'a response brings back the cookie of a session that has ended, or takes away the one of the next')
    if (reply.status === 401) assert(this.#mayBeRefused(cookies, wish), 'a session dies that the server did not end')
    if (reply.status === 502 || reply.status === 503) assert(session.isTroubled, 'a healthy session is not served, for what happens to others')
    if (reply.cookies === 'cleared') {
      assert(this.#mayBeWiped(session), 'a cookie is wiped that may be the winner\'s of a race')
      session.isWiped = true
    }
  }

  /** Whether a session must be as good as new, once all is quiet and the pauses are over. */
  mustLive (session: Session): boolean {
    return this.#isAlive(session) && !session.isTorn && session.ending === undefined && !session.isLost && session.dead === undefined && (session.refused?.times ?? 0) < 2
  }

  /** What must be in the end. */
  judgeEnd (): void {
    for (const session of this.#sessions.values()) {
      const { ending, isLost, isWiped, cameTooLate, isTorn } = session
      if (isTorn) continue
      if ((ending === 'revoke' && !isLost && !isWiped) || cameTooLate) assert(!this.#isAlive(session), 'the newest refresh token of a session that has ended is not revoked')
    }
  }

  #judgeToken (token: string, session: Session, wish: Wish): void {
    assert.equal(this.#server.familyOf(token)?.id, session.family, 'the token of another session is given')
    const access = this.#server.whoHas(token)
    if (access !== null) assert.equal(access.resource, wish.resource, 'the token for another resource is given')
  }

  #mayBeRefused ({ session, supersededAt = Infinity }: Cookies, { resource }: Wish): boolean {
    if (resource !== undefined && session.isWishRefused) return true
    return !this.#isAlive(session) || session.ending !== undefined || session.dead !== undefined || session.refused !== undefined ||
      this.now >= supersededAt + grace
  }

  #mayBeWiped ({ dead, refused }: Session): boolean {
    return dead?.forSure === true || this.now >= Math.min(dead?.at ?? Infinity, refused?.at ?? Infinity) + grace
  }

  #meaning (record: RequestRecord, session: Session, trouble: TroubleName | null): Meaning {
    const { meaning, processing } = trouble === null ? { meaning: 'spent', processing: 'told' } as const : troubles[trouble]
    const isDead = processing === 'told' && !this.#isAlive(session)
    // Half of an error has the status of the error.
    if (trouble === 'half an answer' && !this.#isAlive(session)) return isOfWish(record) ? 'kept' : 'refused'
    // What a wish is answered says nothing of the refresh token, unless that may have been spent.
    if (isOfWish(record) && (isDead || meaning === 'down' || meaning === 'refused' || trouble === 'invalid_client' || trouble === 'invalid_grant' || trouble === 'invalid_grant 200')) return 'kept'
    if (isDead) return 'dead'
    return meaning === 'spent' && this.#rotation === 'same' ? 'kept' : meaning
  }

  #isAlive ({ family }: Session): boolean {
    return this.#server.isAlive(family)
  }

  #subject ({ headers, params: { refresh_token: token = '' } }: RequestRecord): { token: string, session: Session, by: string } {
    const session = this.#sessions.get(this.#server.familyOf(token)?.id ?? '')
    assert(session !== undefined, 'a refresh token is presented that no session has')
    return { token, session, by: String(headers[sender]) }
  }
}

/** Whether something else is asked for than the login's own token. */
function isOfWish ({ params }: RequestRecord): boolean {
  return params.resource !== undefined || params.scope !== undefined
}
