import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import type { Browser } from '../support/browser.ts'
import type { Member } from '../support/cluster/cluster.ts'
import { startStage } from '../support/cluster/stage.ts'
import { whyNotRedis } from '../support/redis-server.ts'

/** A small one goes with every run; the real one: `ROLLING_SESSIONS=500 ROLLING_SECONDS=60`. */
const sessions = Number(process.env.ROLLING_SESSIONS ?? 40)
const seconds = Number(process.env.ROLLING_SECONDS ?? 10)

t.setTimeout(600_000)

t.test(`a deploy restarts one process after the other under the load of ${sessions} sessions whose tokens live for two seconds: nobody notices`, { skip: whyNotRedis() }, async (t) => {
  const { server, members, member, join } = await startStage(t, 4, { settings: { expiresIn: 2 } })
  const statuses = new Map<number, number>()
  const over = new AbortController()
  const underWay = new Map<Member, number>()
  let next = 0

  /** What a load balancer does: each process in turn. */
  async function balanced (browser: Browser): Promise<number> {
    const process = member(next++ % members.length)
    underWay.set(process, (underWay.get(process) ?? 0) + 1)
    const { status } = await browser.through(process.origin).get('/token')
    underWay.set(process, (underWay.get(process) ?? 0) - 1)
    return status
  }

  /** It is told before a process ends, so that no request meets a closed door. */
  async function retire (leaving: Member): Promise<void> {
    while ((underWay.get(leaving) ?? 0) > 0) await pause(10)
    await leaving.stop()
  }

  /** A person: two requests at once, and again. */
  async function browse (browser: Browser): Promise<void> {
    while (!over.signal.aborted) {
      for (const status of await Promise.all([balanced(browser), balanced(browser)])) statuses.set(status, (statuses.get(status) ?? 0) + 1)
      await pause(500 + Math.random() * 1000)
    }
  }

  const browsers = await Promise.all(Array.from({ length: sessions }, async () => await member(0).save(await server.issue())))
  server.forgetRequests()
  const browsing = browsers.map(browse)
  for (let place = 0; place < 4; place++) {
    await pause(seconds * 250)
    await join()
    const [oldest] = members.splice(0, 1)
    if (oldest !== undefined) await retire(oldest)
  }
  await pause(seconds * 250)
  over.abort()
  await Promise.all(browsing)

  t.strictSame([...statuses.keys()], [200], JSON.stringify([...statuses]))
  t.ok(server.refreshes > sessions, `${server.refreshes} refreshes`)
  t.equal(server.families.filter(({ alive }) => !alive).length, 0, 'the server has seen no refresh token twice')
})
