/* test/scenarios/interleavings.test.ts over three processes, with a Redis between them that is gone now and then, for some or for all, or empty. */
import { test } from 'tap'
import { interleave } from '../scenarios/interleavings/interleave.ts'
import { connect, startRedis, whyNotRedis } from '../support/redis-server.ts'

const runs = Number(process.env.INTERLEAVINGS_RUNS ?? 100)

test(`no refresh token is spent twice by three processes, no session dies or comes back: ${runs} random interleavings`, { skip: whyNotRedis() }, async (t) => {
  await interleave(t, runs, connect(t, await startRedis(t)))
})
