import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Claim, SharedCoordinator, SharedCoordinatorSettings, Spendable, SpendOutcome, Standing } from '../tokens/shared-coordinator.ts'
import { type Claimed, type Command, Commands } from './commands.ts'
import { EndedSessions } from './ended-sessions.ts'
import { type LinkSettings, RedisLink } from './link.ts'
import { Messages } from './messages.ts'
import { Published } from './published.ts'
import { CLAIMED_MS } from './scripts.ts'
import { Standings } from './standings.ts'
import { SuccessorSeal } from './successor-seal.ts'

/** Milliseconds between two questions while somebody else is at it and no message comes. */
const POLL_MS = 1000

/** A request that is given up may still arrive: milliseconds after its deadline in which nobody else sends one. */
const SEND_MARGIN_MS = 2000

/** What this process is at. */
interface OwnClaim extends Claimed {
  /** By this process's own clock, in milliseconds, until when nobody can have taken it over. */
  safeUntil: number
}

/** What the processes of an app know together, in Redis. */
export class RedisSharedCoordinator implements SharedCoordinator {
  readonly #seal: SuccessorSeal
  readonly #commands: Commands
  readonly #link: RedisLink
  readonly #standings: Standings
  readonly #ended: EndedSessions
  readonly #messages: Messages
  readonly #wakeUps = new EventEmitter().setMaxListeners(0)
  readonly #published = new Published()
  readonly #claims = new Map<string, OwnClaim>()

  constructor (settings: SharedCoordinatorSettings, how: Pick<LinkSettings, 'redis' | 'timeout' | 'onAvailability'>) {
    this.#seal = new SuccessorSeal(settings)
    this.#commands = new Commands(settings, this.#seal)
    this.#link = new RedisLink({ ...how, log: settings.log, onBack: () => { this.#publishAgain().catch(() => {}).finally(this.#wakeAll) } })
    this.#ended = new EndedSessions(`tokens:{${this.#seal.nameOf('')}}:ended`, this.#link)
    this.#messages = new Messages(how.redis, settings.log, this.#ended, (name) => { this.#wakeUps.emit(name) }, this.#wakeAll)
    this.#standings = new Standings(this.#commands, this.#seal, this.#link, this.#messages.ownChannel)
  }

  async claim (spendable: Spendable): Promise<Claim> {
    this.#ended.catchUpIfDue()
    const name = this.#seal.nameOf(spendable.id)
    for (let busyUntil = 0; ;) {
      const claimer = randomBytes(12).toString('base64url')
      const attempt = new AbortController()
      // From before the question, so that nothing is missed that is said meanwhile.
      const woken = once(this.#wakeUps, name, attempt).catch(() => {})
      const askedAt = performance.now()
      try {
        const giveBack = async (mayBeSent: boolean) => await this.#run(this.#commands.release(spendable, claimer, mayBeSent))
        const answer = await this.#standings.ask(spendable, claimer, giveBack)
        if (answer.status === 'yours') this.#claims.set(name, { claimer, mayBeSent: answer.mayBeSent, safeUntil: askedAt + CLAIMED_MS })
        if (answer.status === 'busy') busyUntil = performance.now() + answer.milliseconds
        // Where Redis is gone meanwhile, somebody may be sending it until then.
        else if (answer.status !== 'newest' && (answer.status !== 'alone' || performance.now() >= busyUntil)) return answer
        await Promise.race([woken, pause(Math.min(busyUntil - performance.now() + 1, POLL_MS), undefined, attempt)])
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
    if (own === undefined && 'mayBeSent' in outcome) return true
    const command = await this.#commands.settle(spendable, outcome, own)
    this.#published.remember(`${name} ${spendable.generation}`, command)
    return await this.#run(command)
  }

  async look (spendable: Spendable): Promise<Standing> {
    const answer = await this.#standings.ask(spendable, '')
    return answer.status === 'yours' ? { status: 'newest' } : answer
  }

  async end (id: string, endsAt: number): Promise<void> {
    await this.#tell(id, [this.#commands.end(id, endsAt), this.#ended.telling('ended', id)])
  }

  onEnded (listener: (id: string) => void): void {
    this.#ended.on('ended', listener)
  }

  async replace (id: string): Promise<void> {
    await this.#tell(id, [this.#ended.telling('replaced', id)])
  }

  onReplaced (listener: (id: string) => void): void {
    this.#ended.on('replaced', listener)
  }

  async close (): Promise<void> {
    this.#link.close()
    this.#messages.close()
  }

  async #tell (id: string, commands: readonly Command[]): Promise<void> {
    for (const command of commands) this.#published.remember(`${command.script.name} ${id}`, command)
    await Promise.all(commands.map((command) => this.#run(command)))
  }

  /**
   * What fails is said again where Redis comes back, if it matters by then.
   *
   * @returns `false` where the session was ended.
   */
  async #run (command: Command): Promise<boolean> {
    const [status] = await this.#link.run(command).catch(() => [])
    return String(status) !== 'ended'
  }

  /** A message may have been missed: all who wait ask again. */
  readonly #wakeAll = (): void => {
    for (const name of this.#wakeUps.eventNames()) if (name !== 'error') this.#wakeUps.emit(name) // once() listens for errors, too
  }

  async #publishAgain (): Promise<void> {
    for (const command of this.#published.all()) await this.#link.run(command)
  }
}
