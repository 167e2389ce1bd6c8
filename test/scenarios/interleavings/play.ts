import assert from 'node:assert'
import type { FastifyInstance } from 'fastify'
import { type Cookies, Model, type Reply, type Session } from './model.ts'
import { type Action, browsers, type Script, type Wish } from './script.ts'
import { hostile, type Scene, World } from './world.ts'

type Inject = Awaited<ReturnType<FastifyInstance['inject']>>
type RequestAction = Extract<Action, { type: 'request' }>
type LogoutAction = Extract<Action, { type: 'logout' }>

/** A run stays within the hour that successors and logouts are remembered, its own end included. */
const longest = 3500
/** In the end, seconds after which no pause of the plugin's lasts any more. */
const patience = 31

/** The cookies of one browser, and what is on its way to it. */
interface Browser {
  readonly jar: Map<string, string>
  /** All that it has ever held, the newest last. */
  readonly past: Cookies[]
  /** Responses that others have overtaken. */
  readonly late: Array<() => void>
  /** Logouts that are not answered yet. */
  leaving: number
  session: Session | undefined
  lastToken: string | undefined
}

/**
 * Plays a script.
 *
 * @throws the first invariant that does not hold.
 */
export async function play (scene: Scene, script: Script): Promise<void> {
  scene.server.settings.rotation = script.rotation
  const model = new Model(scene.server, script.rotation)
  const world = new World(scene, model, script.hostility)
  try {
    await world.start()
    await new Play(scene, model, world).run(script)
  } finally {
    await world.close()
  }
}

class Play {
  readonly #scene: Scene
  readonly #model: Model
  readonly #world: World
  readonly #start: number
  readonly #browsers: readonly Browser[] = Array.from({ length: browsers }, () => ({ jar: new Map(), past: [], late: [], leaving: 0, session: undefined, lastToken: undefined }))
  #failure: unknown

  constructor (scene: Scene, model: Model, world: World) {
    this.#scene = scene
    this.#model = model
    this.#world = world
    this.#start = world.clock.now
  }

  async run ({ actions }: Script): Promise<void> {
    for (const browser of this.#browsers) await this.#login(browser, 0)
    for (const action of actions) await this.#perform(action)
    await this.#world.makePeace()
    await this.#calmDown()
    this.#wait(patience, longest + patience)
    for (const browser of this.#browsers) await this.#checkLife(browser)
    this.#model.judgeEnd()
  }

  async #perform (action: Action): Promise<void> {
    switch (action.type) {
      case 'step':
        await this.#world.step(action.place, action.trouble)
        break
      case 'wait':
        this.#wait(action.seconds)
        break
      case 'jump':
        this.#moveClock(action.seconds)
        break
      case 'request':
        this.#request(this.#browser(action.browser), action)
        break
      case 'login':
        await this.#login(this.#browser(action.browser), action.process)
        break
      case 'logout':
        this.#logout(this.#browser(action.browser), action)
        break
      case 'redis':
        await this.#world.connect(action.process, action.isThere)
        break
      case 'empty Redis':
        this.#model.redisEmptied()
        await this.#world.emptyRedis()
    }
    await this.#settle()
  }

  #request (browser: Browser, { process, age, wish, fate }: Omit<RequestAction, 'type' | 'browser'>): void {
    const cookies = this.#send(browser, age)
    const hadEnded = cookies?.session.hasEnded ?? false
    this.#await(this.#world.app(process).inject({ url: urlOf(wish, browser.lastToken), headers: headersOf(cookies) }), (response) => {
      const reply = replyOf(response)
      this.#model.judge(cookies, hadEnded, wish, reply)
      const deliver = () => {
        browser.lastToken = reply.token ?? browser.lastToken
        this.#keepCookies(browser, response, cookies?.session)
      }
      if (fate === 'arrives') deliver()
      if (fate === 'late') browser.late.push(deliver)
    })
  }

  #logout (browser: Browser, { process, how }: Pick<LogoutAction, 'process' | 'how'>): void {
    const cookies = this.#send(browser, 0)
    if (cookies !== undefined) this.#ends(cookies.session, how)
    browser.leaving++
    this.#await(this.#world.app(process).inject({ method: 'POST', url: `/${how}`, headers: headersOf(cookies) }), (response) => {
      assert.equal(response.statusCode, 200, 'a logout fails')
      if (cookies !== undefined) cookies.session.hasEnded = true
      browser.leaving--
      this.#keepCookies(browser, response, undefined)
    })
  }

  #ends (session: Session, how: 'clear' | 'revoke' | 'login'): void {
    session.ending ??= how
    session.isTorn ||= this.#world.isTorn
  }

  /** A login is over at once; whoever waits for a logout to be answered does not log in. */
  async #login (browser: Browser, process: number): Promise<void> {
    if (browser.leaving > 0) return
    const cookies = this.#send(browser, 0)
    if (cookies !== undefined) this.#ends(cookies.session, 'login')
    const tokens = await this.#scene.server.issue({ sub: browser === this.#browsers[0] ? hostile : 'alice' })
    const session = this.#model.loggedIn(tokens.refresh_token)
    // A process that does not know that the session before is replaced may write that one over it.
    session.isTorn = cookies?.session.isTorn ?? false
    this.#await(this.#world.app(process).inject({ method: 'POST', url: '/login', headers: headersOf(cookies), payload: tokens }), (response) => {
      assert.equal(response.statusCode, 200, 'a login fails')
      if (cookies !== undefined) cookies.session.isReplaced = true
      browser.session = session
      this.#keepCookies(browser, response, session)
    })
    await this.#settle()
  }

  /** What a browser sends: the cookies that it holds, or, in a request that was under way for long, older ones. */
  #send (browser: Browser, age: number): Cookies | undefined {
    this.#deliverLate(browser)
    const header = headerOf(browser.jar)
    const place = browser.past.findLastIndex((cookies) => cookies.header === header) - age
    const cookies = header === '' && age === 0 ? undefined : browser.past[Math.max(0, place)]
    if (cookies === undefined) return undefined
    const { now } = this.#model
    cookies.sentAt ??= now
    for (const older of browser.past.slice(0, browser.past.indexOf(cookies))) {
      if (older.session === cookies.session) older.supersededAt ??= now
    }
    return cookies
  }

  #await (responding: Promise<Inject>, judge: (response: Inject) => void): void {
    responding.then(judge).catch((error: unknown) => { this.#failure ??= error })
  }

  #keepCookies ({ jar, past }: Browser, response: Inject, session: Session | undefined): void {
    for (const { name, value, maxAge } of response.cookies) {
      if (maxAge === 0) jar.delete(name)
      else jar.set(name, value)
    }
    const header = headerOf(jar)
    if (response.cookies.length > 0 && header !== '' && session !== undefined && past.at(-1)?.header !== header) past.push({ header, session })
  }

  #deliverLate ({ late }: Browser): void {
    for (const deliver of late.splice(0)) deliver()
  }

  /** Time passes, for everybody. */
  #wait (seconds: number, latest = longest): void {
    this.#world.time.now += this.#moveClock(seconds, latest)
  }

  /** @returns how far: not before the start, and not beyond what is remembered. */
  #moveClock (seconds: number, latest = longest): number {
    for (const browser of this.#browsers) this.#deliverLate(browser)
    const { clock } = this.#world
    const before = clock.now
    clock.now = Math.min(Math.max(this.#start, before + seconds), this.#start + latest)
    this.#model.clockMoved(clock.now - before)
    return clock.now - before
  }

  /** Everybody who waits goes on, without further trouble. */
  async #calmDown (): Promise<void> {
    while (this.#world.waiting > 0) {
      await this.#world.step(0, null)
      await this.#settle()
    }
  }

  /**
   * The session of a browser gives a token that its server honours. One that the jumps of the clock made look fresh may be
   * refused by an API first; and a clock that was set back may come by a pause again, whose end it had passed.
   */
  async #checkLife (browser: Browser): Promise<void> {
    const { session } = browser
    if (session === undefined || !this.#model.mustLive(session)) return
    for (const [round, force] of (['no', 'rejected', 'rejected'] as const).entries()) {
      if (round === 2) this.#wait(patience, longest + 4 * patience)
      this.#deliverLate(browser)
      this.#request(browser, { process: round, age: 0, wish: { resource: undefined, force, hook: false, beside: false, ending: 'answer' }, fate: 'arrives' })
      await this.#settle()
      await this.#calmDown()
      if (this.#scene.server.whoHas(browser.lastToken ?? '')?.family === session.family) return
    }
    assert.fail('a session dies that the server did not end')
  }

  async #settle (): Promise<void> {
    await this.#world.settle()
    if (this.#failure !== undefined) throw this.#failure
  }

  #browser (number: number): Browser {
    const browser = this.#browsers[number]
    if (browser === undefined) throw new Error(`There is no browser ${number}`)
    return browser
  }
}

function headerOf (jar: Map<string, string>): string {
  return [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
}

function headersOf (cookies: Cookies | undefined) {
  return cookies === undefined ? {} : { cookie: cookies.header }
}

function urlOf ({ resource, force, hook, beside, ending }: Wish, lastToken: string | undefined): string {
  const query = new URLSearchParams({ ending })
  if (beside) query.set('beside', 'true')
  if (resource !== undefined) query.set('resource', resource)
  if (force === 'always') query.set('force', 'true')
  if (force === 'rejected' && lastToken !== undefined) query.set('force', lastToken)
  return `/${hook ? 'hooked' : 'bare'}?${query}`
}

function replyOf (response: Inject): Reply {
  const { code, token } = response.json<{ code?: string, token?: string }>()
  const isSet = response.cookies.some(({ maxAge }) => maxAge !== 0)
  return { status: response.statusCode, code, token, cookies: isSet ? 'set' : response.cookies.length > 0 ? 'cleared' : 'unchanged' }
}
