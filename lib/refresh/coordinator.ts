import { LRUCache } from 'lru-cache'
import type { TokenSet } from '../tokens/token-set.ts'

/** A token set that can be refreshed. */
export type RefreshableTokenSet = TokenSet & { readonly refreshToken: string }

/**
 * Sees to it that a refresh token is spent once, whoever asks: with rotation, a second use revokes the whole grant (RFC
 * 9700 §4.14.2), and browsers send the same cookie on many parallel requests.
 */
export interface RefreshCoordinator {
  /**
   * At most one spend per refresh token: everybody who asks while it runs, and long after, gets the same successor. A spend
   * that fails is told to everybody who waited, and remembered by nobody here.
   */
  once (tokens: RefreshableTokenSet, spend: () => Promise<TokenSet>): Promise<TokenSet>
  /** The last of the known successors; `undefined` where the token set is the newest that is known. No I/O. */
  successorOf (tokens: TokenSet): TokenSet | undefined
  /** Whether there is, or was, or will be a successor, so that the token set must not be written any more. */
  isSuperseded (tokens: TokenSet): boolean
  /** Whether the refresh token is known to be spent, though its successor is forgotten: to send it again would revoke the grant. */
  isSpent (tokens: TokenSet): boolean
  /** Notes that a client has come back with this token set: what came before it is soon forgotten. */
  arrived (tokens: TokenSet): void
  /** Leaves a tombstone for a session: no refresh in flight may bring it back. */
  end (sessionId: string): void
  hasEnded (sessionId: string): boolean
}

/** What has come back is not remembered for longer than so many seconds. */
const MEMORY_SECONDS = 3600

/** Bounds of what is remembered: some ten thousand sessions that are refreshing at one time. */
const MEMORY_BYTES = 64 * 1_048_576
const TOMBSTONE_BYTES = 8 * 1_048_576
const NEWEST_BYTES = 16 * 1_048_576

interface Memory {
  readonly successor?: TokenSet
  /** The refresh token that was spent for this one, until this one has come back. */
  readonly predecessor?: string
}

/**
 * The coordinator of one process, in memory: bounded in bytes, without timers.
 *
 * @param inactivityDuration - a client whose response was lost may come back with the spent token so much later, in seconds.
 */
export function memoryRefreshCoordinator (gracePeriod: number, inactivityDuration: number, clock: () => number): RefreshCoordinator {
  const ttl = inactivityDuration * 1000
  const time = { perf: { now: () => clock() * 1000 }, ttlResolution: 0, ttl }
  const spending = new Map<string, Promise<TokenSet>>()
  const memories = new LRUCache<string, Memory>({ ...time, maxSize: MEMORY_BYTES, sizeCalculation: sizeOf })
  const tombstones = new LRUCache<string, true>({ ...time, maxSize: TOMBSTONE_BYTES, sizeCalculation: (_, sessionId) => sessionId.length })
  // Small and for longer than the successors themselves: how far each session has come.
  const newest = new LRUCache<string, { generation: number, refreshToken: string | undefined }>({
    ...time, maxSize: NEWEST_BYTES, sizeCalculation: ({ refreshToken = '' }, sessionId) => sessionId.length + refreshToken.length + 100
  })
  let sweptAt = clock()

  function successorOf (tokens: TokenSet): TokenSet | undefined {
    let last: TokenSet | undefined
    for (let next = directSuccessorOf(tokens); next !== undefined; next = directSuccessorOf(next)) last = next
    return last && asSessionOf(tokens, last)
  }

  // A service without rotation answers with the same refresh token: then the generation tells what came after what.
  function directSuccessorOf ({ refreshToken, generation }: TokenSet): TokenSet | undefined {
    const successor = refreshToken === undefined ? undefined : memories.get(refreshToken)?.successor
    return successor !== undefined && successor.generation > generation ? successor : undefined
  }

  function isOld ({ sessionId, generation }: TokenSet): boolean {
    return (newest.get(sessionId)?.generation ?? generation) > generation
  }

  async function once (tokens: RefreshableTokenSet, spend: () => Promise<TokenSet>): Promise<TokenSet> {
    const known = successorOf(tokens)
    if (known !== undefined) return known
    const { refreshToken } = tokens
    return asSessionOf(tokens, await (spending.get(refreshToken) ?? start(refreshToken, spend)))
  }

  function start (refreshToken: string, spend: () => Promise<TokenSet>): Promise<TokenSet> {
    const running = spend().then((successor) => {
      remember(refreshToken, successor)
      return successor
    }).finally(() => spending.delete(refreshToken))
    spending.set(refreshToken, running)
    return running
  }

  function remember (refreshToken: string, successor: TokenSet): void {
    sweep()
    const { sessionId, generation, refreshToken: next } = successor
    newest.set(sessionId, { generation, refreshToken: next })
    memories.set(refreshToken, { ...memories.get(refreshToken), successor })
    if (next !== undefined && next !== refreshToken) memories.set(next, { predecessor: refreshToken })
  }

  function arrived ({ refreshToken }: TokenSet): void {
    for (let token = refreshToken; token !== undefined;) {
      const memory = memories.get(token)
      const predecessor = memory?.predecessor
      if (memory === undefined || predecessor === undefined) return
      if (memory.successor === undefined) memories.delete(token)
      else memories.set(token, { successor: memory.successor }, { noUpdateTTL: true })
      const before = memories.get(predecessor)
      if (before !== undefined) memories.set(predecessor, before, { ttl: Math.min(gracePeriod, MEMORY_SECONDS) * 1000 })
      token = predecessor
    }
  }

  /** What is stale is dropped as new memories come, now and then: no timer needs to run for it. */
  function sweep (): void {
    if (Math.abs(clock() - sweptAt) < gracePeriod) return
    sweptAt = clock()
    memories.purgeStale()
    tombstones.purgeStale()
    newest.purgeStale()
  }

  return {
    once,
    successorOf,
    isSuperseded: (tokens) => isOld(tokens) || (tokens.refreshToken !== undefined && spending.has(tokens.refreshToken)),
    isSpent: (tokens) => isOld(tokens) && newest.get(tokens.sessionId)?.refreshToken !== tokens.refreshToken && successorOf(tokens) === undefined,
    arrived,
    end: (sessionId) => { tombstones.set(sessionId, true) },
    hasEnded: (sessionId) => tombstones.has(sessionId)
  }
}

/** One refresh token may stand in two sessions (an answer saved twice, a service that has one for each user): each keeps its own name. */
function asSessionOf ({ sessionId, startedAt }: TokenSet, successor: TokenSet): TokenSet {
  return successor.sessionId === sessionId ? successor : { ...successor, sessionId, startedAt }
}

function sizeOf ({ successor }: Memory, refreshToken: string): number {
  return refreshToken.length + (successor === undefined ? 100 : JSON.stringify(successor).length)
}
