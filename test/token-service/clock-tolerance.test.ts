import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'

for (const [clockTolerance, seconds, status] of [[undefined, 20, 303], [undefined, 40, 400], [0, 5, 400], [60, 50, 303]] as const) {
  test(`with a clockTolerance of ${clockTolerance ?? '30, the default,'} an id_token that is over for ${seconds} s is ${status === 303 ? 'taken' : 'refused'}`, async (t) => {
    const { server, browser, clock } = await startLoginApp(t, { ...clockTolerance !== undefined && { clockTolerance } })
    server.fault(faults.idToken({ exp: Math.floor(clock.now) - seconds }))
    t.equal((await logIn(browser)).status, status)
  })
}
