/*
 * Whatever comes together: requests with fresh and stale cookies, refreshes that take their time and fail in every way,
 * logouts, logins, a clock that jumps. interleavings/model.ts says what must hold. A failure names its seed and its path;
 * INTERLEAVINGS_SEED and INTERLEAVINGS_PATH play it again. `INTERLEAVINGS_RUNS=50000 npm run test:soak` plays more. The same
 * over three processes: test/redis/interleavings.test.ts.
 */
import { test } from 'tap'
import { interleave } from './interleavings/interleave.ts'

const runs = Number(process.env.INTERLEAVINGS_RUNS ?? 500)

test(`no refresh token is spent twice, no session dies or comes back, no token goes astray: ${runs} random interleavings`, async (t) => { await interleave(t, runs) })
