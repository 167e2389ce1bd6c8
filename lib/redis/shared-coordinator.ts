import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Claim, SharedCoordinator, SharedCoordinatorSettings, Spendable, SpendOutcome, Standing } from '../tokens/shared-coordinator.ts'
import { type Claimed, Commands } from './commands.ts'
import { EndedSessions } from './ended-sessions.ts'
import { type LinkSettings, RedisLink } from './link.ts'
import { Messages } from './messages.ts'
import { Published } from './published.ts'
import { CLAIMED_MS } from './scripts.ts'
import { SessionIndex } from './session-index.ts'
import { RedisSharedLogouts } from './shared-logouts.ts'
import { Standings } from './standings.ts'
import { SuccessorSeal } from './successor-seal.ts'
import { WakeUps } from './wake-ups.ts'

/** Milliseconds between two questions while somebody else is at it and no message comes. */
const POLL_MS = 1000

/** A request that is given up may still arrive: milliseconds after its deadline in which nobody else sends one. */
const SEND_MARGIN_MS = 2000

const SAYING = {
  lost: 'this process refreshes on its own, late, until it answers again. See docs/scaling.md',
  back: 'refreshes are shared with the other processes'
}

/** What this process is at. */
interface OwnClaim extends Claimed {
  /** By this process's own clock, in milliseconds, until when nobody can have taken it over. */
  safeUntil: number
}

/** What the processes of an app know together, in Redis. */
export class RedisSharedCoordinator implements SharedCoordinator {
  readonly logouts: RedisSharedLogouts
  readonly #seal: SuccessorSeal
  readonly #commands: Commands
  readonly #link: RedisLink
  readonly #standings: Standings
  readonly #ended: EndedSessions
  readonly #messages: Messages
  readonly #wakeUps = new WakeUps()
  readonly #published: Published
  readonly #claims = new Map<string, OwnClaim>()
  /** What this process is at without a claim. */
  readonly #alone = new Set<string>()

  constructor (settings: SharedCoordinatorSettings, how: Pick<LinkSettings, 'redis' | 'timeout' | 'onAvailability'>) {
    this.#seal = new SuccessorSeal(settings)
    this.#commands = new Commands(settings, this.#seal)
    this.#link = new RedisLink({ ...how, log: settings.log, isGoneWhenRefusing: true, saying: SAYING, onBack: () => { this.#published.sayAgain().catch(() => {}).finally(this.#wakeUps.wakeAll) } })
    this.#published = new Published(this.#link)
    this.#ended = new EndedSessions(`tokens:{${this.#seal.nameOf('')}}:ended`, this.#link)
    this.#messages = new Messages(how.redis, settings.log, this.#ended, this.#wakeUps)
    this.#standings = new Standings(this.#commands, this.#seal, this.#link, this.#messages.ownChannel)
    this.logouts = new RedisSharedLogouts(settings, this.#link, this.#published, new SessionIndex(settings, this.#link))
  }

  async claim (spendable: Spendable): Promise<Claim> {
    this.#ended.catchUpIfDue()
    const name = this.#seal.nameOf(spendable.id)
    for (let busyUntil = 0; ;) {
      const claimer = randomBytes(12).toString('base64url')
      const attempt = new AbortController()
      // From before the question, so that nothing is missed that is said meanwhile.
      const woken = this.#wakeUps.of(name, attempt)
      const askedAt = performance.now()
      try {
        const late = (mayBeSent: boolean) => { this.#claimedLate(spendable, { claimer, mayBeSent }) }
        const answer = await this.#standings.ask(spendable, claimer, late)
        if (answer.status === 'yours') this.#claims.set(name, { claimer, mayBeSent: answer.mayBeSent, safeUntil: askedAt + CLAIMED_MS })
        if (answer.status === 'busy') busyUntil = performance.now() + answer.milliseconds
        // Where Redis is gone meanwhile, somebody may be sending it until then.
        else if (answer.status !== 'newest' && (answer.status !== 'alone' || performance.now() >= busyUntil)) {
          if (answer.status === 'alone') this.#alone.add(name)
          return answer
        }
        const told = await Promise.race([woken, pause(Math.min(busyUntil - performance.now() + 1, POLL_MS), undefined, attempt)])
        const successor = told && await this.#standings.told(spendable, told)
        if (successor !== undefined) return successor
      } finally {
        attempt.abort()
      }
    }
  }

  async sending (spendable: Spendable, seconds: number): Promise<'yours' | 'lost' | 'alone'> {
    const name = this.#seal.nameOf(spendable.id)
    const own = this.#claims.get(name)
    if (own === undefined) return 'alone'
    const milliseconds = Math.ceil(seconds * 1000) + SEND_MARGIN_MS
    const askedAt = performance.now()
    try {
      const [answer] = await this.#link.run(this.#commands.sending(spendable, own.claimer, milliseconds))
      if (String(answer) === 'lost') {
        this.#claims.delete(name)
        return 'lost'
      }
      own.safeUntil = askedAt + milliseconds
      return 'yours'
    } catch {
      return performance.now() < own.safeUntil ? 'alone' : 'lost'
    }
  }

  async settle (spendable: Spendable, outcome: SpendOutcome): Promise<boolean> {
    const name = this.#seal.nameOf(spendable.id)
    const own = this.#claims.get(name)
    this.#claims.delete(name)
    this.#alone.delete(name)
    if (own === undefined && 'mayBeSent' in outcome) return true
    const command = await this.#commands.settle(spendable, outcome, own)
    return await this.#published.say(`${name} ${spendable.generation}`, { commands: [command], isForGood: 'successor' in outcome }) !== 'ended'
  }

  async look (spendable: Spendable): Promise<Standing> {
    const answer = await this.#standings.ask(spendable, '')
    return answer.status === 'yours' ? { status: 'newest' } : answer
  }

  async end (id: string, endsAt: number): Promise<void> {
    await this.#published.say(`end ${id}`, { commands: [this.#commands.end(id, endsAt), this.#ended.telling('ended', id)], isForGood: true })
  }

  onEnded (listener: (id: string) => void): void {
    this.#ended.on('ended', listener)
  }

  async replace (id: string): Promise<void> {
    await this.#published.say(`replaced ${id}`, { commands: [this.#ended.telling('replaced', id)], isForGood: false })
  }

  onReplaced (listener: (id: string) => void): void {
    this.#ended.on('replaced', listener)
  }

  async close (): Promise<void> {
    this.#link.close()
    this.#messages.close()
  }

  /** After nobody waited for it any more: who spends without it has it until that is over, and otherwise it is given back. */
  #claimedLate (spendable: Spendable, claimed: Claimed): void {
    const name = this.#seal.nameOf(spendable.id)
    if (this.#alone.has(name)) this.#claims.set(name, { ...claimed, safeUntil: 0 })
    else this.#link.run(this.#commands.release(spendable, claimed.claimer, claimed.mayBeSent)).catch(() => {}) // it lapses
  }
}
