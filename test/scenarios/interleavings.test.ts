/*
 * Whatever comes together: requests with fresh and stale cookies, refreshes that take their time and fail in every way,
 * logouts, logins, a clock that jumps. test/interleavings/model.ts says what must hold. A failure names its seed and its path;
 * INTERLEAVINGS_SEED and INTERLEAVINGS_PATH play it again. `INTERLEAVINGS_RUNS=50000 npm run test:soak` plays more.
 */
import * as fc from 'fast-check'
import { test } from 'tap'
import { Agent } from 'undici'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { play } from './interleavings/play.ts'
import { script } from './interleavings/script.ts'
import { sceneOf } from './interleavings/world.ts'

const { INTERLEAVINGS_RUNS: runs = '500', INTERLEAVINGS_SEED: seed, INTERLEAVINGS_PATH: path } = process.env

test(`no refresh token is spent twice, no session dies or comes back, no token goes astray: ${runs} random interleavings`, async (t) => {
  t.setTimeout(0) // the number of runs decides, and not the machine
  const server = await startAuthorizationServer()
  const agent = new Agent()
  t.teardown(async () => {
    await agent.destroy()
    await server.close()
  })
  // The jitter of the back-off, so that a seed plays the same again.
  t.intercept(Math, 'random', { value: () => 0.5 })
  const scene = sceneOf(server, agent)
  let played = 0
  await fc.assert(fc.asyncProperty(script, async (each) => {
    await play(scene, each)
    played++
  }), { numRuns: Number(runs), ...seed !== undefined && { seed: Number(seed) }, ...path !== undefined && { path } })
  t.ok(played > 0, `${played} runs`)
})
