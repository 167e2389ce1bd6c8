import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Claim, SharedCoordinator, SharedCoordinatorSettings, Spendable, SpendOutcome, Standing, Successor } from '../tokens/shared-coordinator.ts'
import { EndedSessions } from './ended-sessions.ts'
import { type LinkSettings, RedisLink } from './link.ts'
import { Messages } from './messages.ts'
import { type Command, Published } from './published.ts'
import { CLAIMED_MS, end, release, sending, succeed } from './scripts.ts'
import { Standings } from './standings.ts'
import { SuccessorSeal } from './successor-seal.ts'

/** Milliseconds between two questions while somebody else is at it and no message comes. */
const POLL_MS = 1000

/** A request that is given up may still arrive: milliseconds after its deadline in which nobody else sends one. */
const SEND_MARGIN_MS = 2000

/** What this process is at. */
interface OwnClaim {
  readonly claim: string
  /** An earlier one may have sent it. */
  readonly mayBeSent: boolean
  /** By this process's own clock, in milliseconds, until when nobody can have taken it over. */
  safeUntil: number
}

/** What the processes of an app know together, in Redis. */
export class RedisSharedCoordinator implements SharedCoordinator {
  readonly #inactivityMs: number
  readonly #seal: SuccessorSeal
  readonly #link: RedisLink
  readonly #standings: Standings
  readonly #ended: EndedSessions
  readonly #messages: Messages
  readonly #wakeUps = new EventEmitter().setMaxListeners(0)
  readonly #published = new Published()
  readonly #claims = new Map<string, OwnClaim>()

  constructor (settings: SharedCoordinatorSettings, how: Pick<LinkSettings, 'redis' | 'timeout' | 'onAvailability'>) {
    this.#inactivityMs = Math.ceil(settings.inactivityDuration * 1000)
    this.#seal = new SuccessorSeal(settings)
    this.#link = new RedisLink({ ...how, log: settings.log, onBack: () => { this.#publishAgain().catch(() => {}) } })
    this.#ended = new EndedSessions(`tokens:{${this.#seal.nameOf('')}}:ended`, this.#link)
    this.#messages = new Messages(how.redis, settings.log, this.#ended, (name) => { this.#wakeUps.emit(name) })
    this.#standings = new Standings(settings, this.#seal, this.#link, this.#messages.ownChannel)
  }

  async claim (spendable: Spendable): Promise<Claim> {
    this.#ended.catchUpIfDue()
    const name = this.#seal.nameOf(spendable.id)
    for (let busyUntil = 0; ;) {
      const claim = randomBytes(12).toString('base64url')
      const attempt = new AbortController()
      // From before the question, so that nothing is missed that is said meanwhile.
      const woken = once(this.#wakeUps, name, attempt).catch(() => {})
      const askedAt = performance.now()
      try {
        const answer = await this.#standings.ask(spendable, claim, (mayBeSent) => { this.#giveBack(spendable, claim, mayBeSent) })
        if (answer.status === 'yours') this.#claims.set(name, { claim, mayBeSent: answer.mayBeSent, safeUntil: askedAt + CLAIMED_MS })
        if (answer.status === 'busy') busyUntil = performance.now() + answer.milliseconds
        // Where Redis is gone meanwhile, somebody may be sending it until then.
        else if (answer.status !== 'newest' && (answer.status !== 'alone' || performance.now() >= busyUntil)) return answer
        await Promise.race([woken, pause(Math.min(busyUntil - performance.now() + 1, POLL_MS), undefined, attempt)])
      } finally {
        attempt.abort()
      }
    }
  }

  async sending ({ id }: Spendable, seconds: number): Promise<'yours' | 'lost' | 'alone'> {
    const name = this.#seal.nameOf(id)
    const own = this.#claims.get(name)
    if (own === undefined) return 'alone'
    const milliseconds = Math.ceil(seconds * 1000) + SEND_MARGIN_MS
    const askedAt = performance.now()
    try {
      const [answer] = await this.#link.run(sending, [this.#standings.keyOf(id)], [own.claim, milliseconds])
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
    if ('successor' in outcome) return await this.#keep(spendable, outcome.successor, own?.claim ?? '')
    if ('dead' in outcome) return await this.#release(spendable, own?.claim ?? '', false, this.#seal.fingerprintOf(spendable.secret))
    return own === undefined || await this.#release(spendable, own.claim, own.mayBeSent || outcome.mayBeSent)
  }

  async look (spendable: Spendable): Promise<Standing> {
    const answer = await this.#standings.ask(spendable, '')
    return answer.status === 'yours' ? { status: 'newest' } : answer
  }

  async end (id: string, endsAt: number): Promise<void> {
    const command = { script: end, keys: [this.#standings.keyOf(id)], values: [this.#standings.lifetimeOf(endsAt), this.#seal.nameOf(id)] }
    const told = this.#ended.telling(id)
    for (const each of [command, told]) this.#published.remember(`${each.script.name} ${id}`, each)
    await Promise.all([this.#run(command), this.#run(told)])
  }

  onEnded (listener: (id: string) => void): void {
    this.#ended.onEnded(listener)
  }

  async close (): Promise<void> {
    this.#link.close()
    this.#messages.close()
  }

  async #keep ({ id, generation, secret, endsAt }: Spendable, successor: Successor, claim: string): Promise<boolean> {
    const next = successor.secret === undefined ? '' : this.#seal.fingerprintOf(successor.secret)
    const sealed = Buffer.concat([Buffer.from(`${this.#seal.fingerprintOf(secret)}\n`), await this.#seal.seal(secret, successor.content)])
    const key = this.#standings.keyOf(id, generation)
    const command = {
      script: succeed,
      keys: [this.#standings.keyOf(id), key],
      values: [claim, successor.generation, next, sealed, this.#inactivityMs, this.#standings.lifetimeOf(endsAt), this.#seal.nameOf(id)]
    }
    this.#published.remember(key, command)
    return await this.#run(command)
  }

  async #release ({ id, endsAt }: Spendable, claim: string, mayBeSent: boolean, dead = ''): Promise<boolean> {
    const values = [claim, mayBeSent ? 1 : 0, dead, this.#standings.lifetimeOf(endsAt), this.#seal.nameOf(id)]
    return await this.#run({ script: release, keys: [this.#standings.keyOf(id)], values })
  }

  /** A claim that was made after nobody waited for it any more. */
  #giveBack (spendable: Spendable, claim: string, mayBeSent: boolean): void {
    this.#release(spendable, claim, mayBeSent).catch(() => {})
  }

  /**
   * What fails is said again where Redis comes back, if it matters by then.
   *
   * @returns `false` where the session was ended.
   */
  async #run ({ script, keys, values }: Command): Promise<boolean> {
    const [status] = await this.#link.run(script, keys, values).catch(() => [])
    return String(status) !== 'ended'
  }

  async #publishAgain (): Promise<void> {
    for (const { script, keys, values } of this.#published.all()) await this.#link.run(script, keys, values)
  }
}
