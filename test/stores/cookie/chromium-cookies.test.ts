/* What a real browser makes of sessions in one, two and three cookies. */
import type { Page } from 'playwright-core'
import { test, type Test } from 'tap'
import { startChromium, whyNotChromium } from '../../support/chromium.ts'
import { freePort } from '../../support/free-port.ts'
import { startLoginApp } from '../../support/login-flow.ts'
import { sessionKey } from '../../support/start-app.ts'

const skip = whyNotChromium()
const name = '__Host-tokens'
const chunks = (count: number) => Array.from({ length: count }, (_, index) => `${name}.${index}`)

/** Random bytes in each of two tokens, and the cookies that they make. */
const sizes = [
  { bytes: 500, cookies: [name] },
  { bytes: 2600, cookies: chunks(3) },
  { bytes: 1600, cookies: chunks(2) },
  { bytes: 2600, cookies: chunks(3) },
  { bytes: 500, cookies: [name] },
  { bytes: 1600, cookies: chunks(2) }
]

test('sessions of 1, 2 and 3 cookies survive login, refresh, growth, shrinking and logout in Chromium', { skip }, async (t) => {
  const { server, clock, tabs: [page], origin, cookies } = await start(t)
  for (const { bytes, cookies: expected } of sizes) {
    server.settings.tokenBytes = bytes
    await page.goto(`${origin}/auth/login?returnTo=/optional`)
    t.equal(page.url(), `${origin}/optional`)
    t.strictSame(await cookies(), expected, `a login with tokens of ${bytes} bytes`)
    t.type(await tokenOf(page), 'string')
  }
  for (const { bytes, cookies: expected } of sizes) {
    server.settings.tokenBytes = bytes
    clock.now += 61
    const token = await tokenOf(page)
    t.strictSame(await cookies(), expected, `a refresh with tokens of ${bytes} bytes`)
    t.equal(await tokenOf(page), token, 'and the next request has it')
  }
  t.equal(server.refreshes, sizes.length)
  t.equal(await page.evaluate('document.cookie'), '', 'scripts see nothing of it')
  await page.evaluate('fetch("/auth/logout", { method: "POST", headers: { accept: "application/json" } }).then((response) => response.text())')
  t.strictSame(await cookies(), [])
  t.equal(await tokenOf(page), null)
})

test('two tabs that refresh at once stay logged in, also where the session grows meanwhile', { skip }, async (t) => {
  const { server, clock, tabs, origin } = await start(t)
  await tabs[0].goto(`${origin}/auth/login?returnTo=/optional`)
  await tabs[1].goto(`${origin}/optional`)
  for (const [round, bytes] of [1600, 2600, 500].entries()) {
    server.settings.tokenBytes = bytes
    clock.now += 61
    const gate = server.hold()
    const answers = Promise.all(tabs.map(tokenOf))
    await gate.arrived()
    gate.release()
    const [one, other] = await answers
    t.equal(one, other)
    t.equal(server.refreshes, round + 1)
    for (const tab of tabs) t.equal(await tokenOf(tab), one)
  }
  t.equal(server.families.filter(({ alive }) => alive).length, 1)
})

/** An app under the name where Chromium takes Secure cookies without TLS, and two tabs of one browser. */
async function start (t: Test) {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  const app = await startLoginApp(t, {
    port,
    server: { expiresIn: 60 },
    login: { callbackUri: `${origin}/auth/callback`, scope: ['offline_access'] },
    session: { key: sessionKey, maxCookieBytes: 12_000, cookie: { secure: true } }
  })
  const browser = await startChromium()
  t.teardown(() => browser.close())
  const context = await browser.newContext()
  const tabs = [await context.newPage(), await context.newPage()] as const
  const devTools = await context.newCDPSession(tabs[0])
  /** DevTools' own list of the session's cookies. */
  async function cookies (): Promise<string[]> {
    const { cookies } = await devTools.send('Network.getCookies', { urls: [origin] })
    return cookies.map(({ name }) => name).filter((each) => each.startsWith(name)).sort()
  }
  return { ...app, origin, tabs, cookies }
}

async function tokenOf (page: Page): Promise<unknown> {
  return await page.evaluate('fetch("/optional").then((response) => response.json()).then(({ token }) => token)')
}
