import t from 'tap'
import type { Member } from '../support/cluster/cluster.ts'
import { type Stage, startStage } from '../support/cluster/stage.ts'
import { startRedis, startSentinel, whyNotRedis } from '../support/redis-server.ts'

t.setTimeout(300_000)

const timeout = 0.5

/** Two processes, and what brings them another Redis in the place of the one that is gone. */
const successions: Record<string, (here: Stage) => Promise<{ processes: readonly [Member, Member], succession: () => Promise<unknown> }>> = {
  'an empty one': async ({ redis, join }) => ({ processes: [await join({ timeout }), await join({ timeout })], succession: () => redis.start() }),
  'the replica that Sentinel promotes': async ({ redis, join }) => {
    await startRedis(t, ['--replicaof', '127.0.0.1', String(redis.port)])
    const { port: sentinelPort, promoted } = await startSentinel(t, redis)
    return { processes: [await join({ sentinelPort, timeout }), await join({ sentinelPort, timeout })], succession: () => promoted }
  }
}

for (const [which, prepare] of Object.entries(successions)) {
  t.test(`where another Redis takes its place, ${which}, only those sessions can be lost that two processes refresh at once in the gap`, { skip: whyNotRedis() }, async (t) => {
    const stage = await startStage(t, 0)
    const { server, redis, move } = stage
    const { processes: [here, there], succession } = await prepare(stage)
    const people = ['in turn', 'in parallel', 'later'].flatMap((when) => Array.from({ length: 6 }, () => ({ when })))
    const sessions = await Promise.all(people.map(async ({ when }) => {
      const issued = await server.issue()
      return { when, family: server.familyOf(issued.refresh_token)?.id, browser: await here.save(issued) }
    }))
    const of = (when: string) => sessions.filter((session) => session.when === when)

    /** What each session is answered by both processes, and how many refreshes that takes. */
    async function everybody (asked: typeof sessions, how: 'at once' | 'in turn') {
      server.forgetRequests()
      const answers = await Promise.all(asked.map(async ({ browser }) => {
        const first = browser.through(here.origin).get('/token')
        if (how === 'in turn') await first
        return await Promise.all([first, browser.through(there.origin).get('/token')])
      }))
      return { statuses: [...new Set(answers.flat().map(({ status }) => status))], refreshes: server.refreshes }
    }

    move(301)
    t.strictSame(await everybody(sessions, 'at once'), { statuses: [200], refreshes: 18 })

    await redis.stop()
    move(301)
    t.strictSame(await everybody(of('in turn'), 'in turn'), { statuses: [200], refreshes: 6 }, 'nobody waits for Redis')
    const inGap = await everybody(of('in parallel'), 'at once')
    t.ok(inGap.refreshes <= 12, `${inGap.refreshes} refreshes where each process is alone`)
    await succession()
    for (const { told } of [here, there]) while (told.at(-1) !== 'available') await new Promise((resolve) => { setTimeout(resolve, 10) })

    t.strictSame(await everybody(of('later'), 'at once'), { statuses: [200], refreshes: 6 }, 'the next Redis does what the one before did')
    move(301)
    t.strictSame(await everybody([...of('in turn'), ...of('later')], 'at once'), { statuses: [200], refreshes: 12 })
    const dead = server.families.filter(({ alive }) => !alive).map(({ id }) => id)
    t.strictSame(dead.filter((id) => !of('in parallel').some(({ family }) => family === id)), [], `${dead.length} of the 6 sessions are lost that met in the gap, and no other`)
  })
}
