import * as fc from 'fast-check'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { Agent } from 'undici'
import { startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { play } from './play.ts'
import { scripts } from './script.ts'
import { sceneOf } from './world.ts'

const { INTERLEAVINGS_SEED: seed, INTERLEAVINGS_PATH: path } = process.env

/** Plays so many random scripts, by one process or, with a Redis, by several. */
export async function interleave (t: Test, runs: number, redis?: Redis): Promise<void> {
  t.setTimeout(0) // the number of runs decides, and not the machine
  const server = await startAuthorizationServer()
  const agent = new Agent()
  t.teardown(async () => {
    await agent.destroy()
    await server.close()
  })
  // The jitter of the back-off, so that a seed plays the same again.
  t.intercept(Math, 'random', { value: () => 0.5 })
  const scene = sceneOf(server, agent, redis)
  let played = 0
  await fc.assert(fc.asyncProperty(scripts(redis !== undefined), async (each) => {
    await play(scene, each)
    played++
  }), { numRuns: runs, ...seed !== undefined && { seed: Number(seed) }, ...path !== undefined && { path } })
  t.ok(played > 0, `${played} runs`)
}
