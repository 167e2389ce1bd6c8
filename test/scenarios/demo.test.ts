import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { startChromium, whyNotChromium } from '../support/chromium.ts'
import { startRedis, whyNotRedis } from '../support/redis-server.ts'

// As `npm start` does it: tsx finds the package's name in lib. Without what tap gives to every child by NODE_OPTIONS.
const demoNode = ['-u', 'NODE_OPTIONS', process.execPath, '--import', 'tsx']
const skip = whyNotChromium()

t.setTimeout(300_000)

t.test('a person logs in, calls the API while the token is refreshed again and again, and logs out', { skip }, async (t) => {
  const { demo, page } = await openDemo(t, { accessTokenSeconds: 4 })
  const seen = await recordAll(page)

  await logIn(page, demo)
  const cookies = await appCookies(page, demo)
  const [session, ...others] = cookies.toSorted((one, other) => other.name.localeCompare(one.name))
  t.match(session, { name: 'tokens', httpOnly: true, sameSite: 'Lax', secure: false, path: '/' })
  t.match(others, [{ name: 'by-hand', httpOnly: true, path: '/by-hand' }], 'and that of the other column')
  t.equal(others.length, 1)
  const bytes = `tokens=${session?.value}`.length.toLocaleString('en')
  await page.locator('#facts', { hasText: `tokens, ${bytes} bytes, sealed` }).waitFor()
  t.match(await page.locator('#facts').textContent(), /HttpOnlyyes.*no cookie, no token/)
  t.equal(await page.locator('#name').textContent(), 'Ada')

  await page.getByRole('button', { name: 'Start a loop' }).click()
  await page.locator('#plugin .events li[data-what="refreshed"]').nth(1).waitFor()
  await page.getByRole('button', { name: 'Stop the loop' }).click()

  // A call in the second half of its four seconds refreshes the token.
  await page.locator('#plugin .left', { hasText: /^0\.\d s left$|^expired/ }).waitFor()
  t.equal(await count(page, 'plugin', 'failed'), 0)
  const answered = await count(page, 'plugin', 'answered')
  const refreshes = await count(page, 'plugin', 'refreshes')
  await page.getByRole('button', { name: '10 at once' }).click()
  await page.locator('#plugin [data-count=answered]', { hasText: new RegExp(`^${answered + 10}$`) }).waitFor()
  await page.locator('#plugin .events li[data-what="refreshed"]').nth(refreshes).waitFor()
  t.equal(await count(page, 'plugin', 'refreshes'), refreshes + 1, 'ten calls at once cost one refresh')
  t.equal(await count(page, 'plugin', 'failed'), 0)
  seen.push(await page.content(), await page.evaluate('JSON.stringify([localStorage, sessionStorage, document.cookie])'))

  // While the loop runs: what it is told then (401) must not keep the browser from going to the provider.
  await page.getByRole('button', { name: 'Start a loop' }).click()
  await page.locator('#plugin [data-count=answered]', { hasText: new RegExp(`^${answered + 11}$`) }).waitFor()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('link', { name: 'Log in' }).waitFor()
  t.equal(page.url(), `${demo.address}/`)
  t.equal(await page.evaluate('fetch("/api/orders").then((response) => response.status)'), 401)
  t.strictSame(await appCookies(page, demo), [])
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.getByLabel('Username').waitFor()
  seen.push(await page.content())

  const granted = await demo.close()
  t.ok(granted.filter(({ grant, client }) => grant === 'refresh_token' && client === 'web').length > refreshes, 'the provider counts the refreshes too')
  for (const expected of ['Espresso machine', '"what":"refreshed"', 'class="brand"', 'EventSource', 'set-cookie']) {
    t.ok(seen.some((content) => content.includes(expected)), `what the browser got was recorded: ${expected}`)
  }
  const tokens = granted.flatMap(({ accessToken, refreshToken }) => [accessToken, refreshToken])
  t.equal(new Set(tokens).size, 2 * granted.length)
  t.notOk(tokens.some((token) => seen.some((content) => content.includes(token))), 'no token is in anything that the browser got')
})

t.test('ten calls at once on an expired token: the plugin refreshes once, and a refresh written by hand loses the login', { skip }, async (t) => {
  const { demo, page } = await openDemo(t, { accessTokenSeconds: 4 })
  await logIn(page, demo)
  await callTenWhenExpired(page)
  await page.locator('#plugin .events li[data-what="refreshed"]').waitFor()
  t.strictSame([await count(page, 'plugin', 'answered'), await count(page, 'plugin', 'failed'), await count(page, 'plugin', 'refreshes')], [10, 0, 1])
  t.equal(demo.granted.filter(({ grant, client }) => grant === 'refresh_token' && client === 'web').length, 1)

  const failed = await count(page, 'hand', 'failed')
  t.ok(failed > 0, 'the others have sent a refresh token that was spent')
  t.equal(await count(page, 'hand', 'answered'), 10 - failed)
  await verdict(page, 'hand', /failed with 401. Logged out: each call has sent the same refresh token/).waitFor()
  await page.locator('#hand .events li', { hasText: 'invalid_grant' }).first().waitFor()

  await page.locator('#hand .left', { hasText: 'expired' }).waitFor()
  await page.getByRole('button', { name: 'Call once' }).click()
  await verdict(page, 'hand', /1 of 1 failed with 401/).waitFor()
  await page.locator('#hand').getByRole('link', { name: 'Log in again' }).click()
  await page.locator('#hand .left', { hasText: 's left' }).waitFor()
  await page.getByRole('button', { name: 'Call once' }).click()
  await verdict(page, 'hand', /1 of 1 answered/).waitFor()
  t.equal(await page.locator('#name').textContent(), 'Ada', 'and the plugin\'s session was never touched')
})

t.test('the API takes nobody\'s token for its own: it has to be for it, and come with the key that it is bound to', { skip }, async (t) => {
  const { demo, page } = await openDemo(t)
  await logIn(page, demo)
  const callWith = async (authorization: string) => (await fetch(`${demo.api}/orders`, { headers: { authorization } })).status
  const tokenOf = (client: string) => demo.granted.findLast((each) => each.client === client)?.accessToken
  t.equal(await callWith(`Bearer ${tokenOf('by-hand')}`), 200, 'a token without a key is worth as much to a thief')
  t.equal(await callWith(`Bearer ${tokenOf('web')}`), 401, 'one with a key is not')
  t.equal(await callWith(`DPoP ${tokenOf('web')}`), 401, 'without a proof')
  t.equal(await callWith(`DPoP ${tokenOf('by-hand')}`), 401)
  t.equal(await callWith(''), 401)
})

t.test('no call without the header that other sites cannot send', { skip }, async (t) => {
  const { demo, page } = await openDemo(t)
  await logIn(page, demo)
  for (const [method, path] of [['GET', '/api/orders'], ['GET', '/auth/session'], ['GET', '/cookie'], ['PUT', '/switches'], ['POST', '/revocations']] as const) {
    const call = async (headers: Record<string, string>) => await page.request.fetch(demo.address + path, { method, headers: { origin: demo.address, ...headers }, data: method === 'PUT' ? {} : undefined })
    const refused = await call({})
    t.match([refused.status(), await refused.json()], [403, { code: 'FST_TOKEN_CSRF_HEADER' }], path)
    const crossSite = await call({ origin: demo.issuer, 'x-csrf': '1' })
    t.match([crossSite.status(), await crossSite.json()], [403, { code: 'FST_TOKEN_CROSS_SITE' }], path)
    t.ok((await call({ 'x-csrf': '1' })).ok(), path)
  }
  t.equal((await page.request.get(`${demo.address}/api/elsewhere`, { headers: { 'x-csrf': '1' } })).status(), 404, 'and only to what is allowed')
})

t.test('what breaks at the token service, and the ways back', { skip }, async (t) => {
  // Long enough for a second call that comes when the slow answer is there, not to find it due again.
  const { demo, page } = await openDemo(t, { accessTokenSeconds: 10 })
  await logIn(page, demo)

  await t.test('down: whoever uses the plugin stays logged in', async (t) => {
    await page.getByRole('switch', { name: 'Token service down' }).click()
    await callTenWhenExpired(page)
    await verdict(page, 'plugin', /^10 of 10 failed with 503. .* You are still logged in/).waitFor()
    await verdict(page, 'hand', /Logged out by an outage/).waitFor()

    await page.locator('#hand').getByRole('link', { name: 'Log in again' }).click()
    await page.getByRole('heading', { name: 'That did not work' }).waitFor()
    await page.getByRole('link', { name: 'Back to the demo' }).click()
    await page.locator('#down[aria-checked=true]').waitFor()
    await page.getByRole('button', { name: 'Call once' }).click()
    await page.getByRole('button', { name: 'Bring it back' }).click()
    await verdict(page, 'plugin', /1 of 1 answered/).waitFor()
    t.equal(await page.getByRole('switch', { name: 'Token service down' }).isChecked(), false)
    await page.goto(`${demo.address}/login`)
    await page.locator('#hand .left', { hasText: 's left' }).waitFor()
  })

  await t.test('slow: all wait for one answer', async (t) => {
    await page.getByRole('switch', { name: 'Slow' }).click()
    await page.getByText('takes three seconds').waitFor()
    const refreshes = await count(page, 'plugin', 'refreshes')
    await callTenWhenExpired(page)
    await page.locator('#plugin .events li', { hasText: /Refreshed in \d{4} ms/ }).waitFor()
    t.strictSame([await count(page, 'plugin', 'answered'), await count(page, 'plugin', 'refreshes')], [10, refreshes + 1])
    await page.getByRole('switch', { name: 'Slow' }).click()
    await page.getByText('All is well').waitFor()
  })

  await t.test('revoked: a login helps', async (t) => {
    await page.goto(`${demo.address}/login`)
    await page.getByRole('button', { name: 'Revoke this session' }).click()
    await page.getByText('Revoked.').waitFor()
    await callTenWhenExpired(page)
    await verdict(page, 'plugin', /^10 of 10 failed with 401. The login has been revoked/).waitFor()
    await verdict(page, 'hand', /the provider has revoked the login/).waitFor()
    await page.getByRole('button', { name: 'Revoke this session' }).click()
    await page.getByText('no session to revoke').waitFor()
    await page.locator('#plugin').getByRole('link', { name: 'Log in again' }).click()
    await page.locator('#hand .left', { hasText: 's left' }).waitFor()
    await page.getByRole('button', { name: 'Call once' }).click()
    for (const column of ['plugin', 'hand']) await verdict(page, column, /1 of 1 answered/).waitFor()
    t.equal(await count(page, 'plugin', 'failed'), 0)
  })
})

t.test('a page that is not there leads back', { skip }, async (t) => {
  const { demo, page } = await openDemo(t)
  t.equal((await page.goto(`${demo.address}/nowhere`))?.status(), 404)
  await page.getByRole('link', { name: 'Back to the demo' }).click()
  await page.getByRole('link', { name: 'Log in' }).waitFor()
})

t.test('the page fits a phone, with everything that it can say, and does not jump', { skip }, async (t) => {
  const { demo, page } = await openDemo(t, { accessTokenSeconds: 4 })
  await page.setViewportSize({ width: 390, height: 844 })
  const size = async () => await page.evaluate<{ width: number, height: number }>('({ width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight })')
  await page.goto(demo.address)
  t.equal((await size()).width, 390)
  await logIn(page, demo)
  await page.locator('#facts dd').first().waitFor()
  const before = await size()
  t.equal(before.width, 390)
  await page.getByRole('switch', { name: 'Token service down' }).click()
  await callTenWhenExpired(page)
  t.strictSame(await size(), before)
})

t.test('the login page wants a username and a password, and the error page says what is wrong', { skip }, async (t) => {
  const demo = await startDemo()
  t.teardown(() => demo.close())
  const browser = await startChromium()
  t.teardown(() => browser.close())
  const page = await browser.newPage()

  await page.goto(`${demo.address.replace('127.0.0.1', 'localhost')}/auth/login`)
  t.equal(new URL(page.url()).origin, demo.issuer, 'who typed localhost comes to the login page too')
  await page.getByLabel('Username').fill('<b>ada</b>')
  await page.evaluate('document.forms[0].noValidate = true')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  t.equal(await page.getByLabel('Username').inputValue(), '<b>ada</b>')

  await page.goto(`${demo.issuer}/auth?client_id=nobody`)
  await page.getByText('invalid_client').waitFor()
})

t.test('npm start prints the address, and Ctrl-C ends it', async (t) => {
  const { app: port } = await freePorts()
  const demo = npmStart(port)
  t.teardown(() => demo.kill())
  demo.stdout.setEncoding('utf8')
  let printed = ''
  for await (const chunk of demo.stdout) {
    printed += chunk
    if (printed.includes('Ctrl-C')) break
  }
  t.match(printed, `http://127.0.0.1:${port}`)
  demo.kill('SIGINT')
  demo.kill('SIGINT')
  t.strictSame(await once(demo, 'exit'), [0, null])
})

t.test('the demo runs in three processes that agree by a Redis: the page shows who answered and who refreshed', { skip: skip || whyNotRedis() }, async (t) => {
  const redis = await startRedis(t)
  const { demo, page } = await openDemo(t, { accessTokenSeconds: 4, cluster: { processes: 3, redis: redis.url } })
  await logIn(page, demo)
  for (let round = 1; round <= 3; round++) {
    await page.getByRole('button', { name: '10 at once' }).click()
    await page.locator('#plugin [data-count=answered]', { hasText: new RegExp(`^${round * 10}$`) }).waitFor()
    await page.locator('#plugin .left', { hasText: 'expired' }).waitFor()
  }
  t.match(await page.locator('#plugin .processes').textContent(), /process \d: \d+ · process \d: \d+/, 'several of them have answered')
  t.match(await page.locator('#plugin .events').textContent(), /Refreshed by process \d in/)
  t.equal(await count(page, 'plugin', 'failed'), 0)
  t.equal(await count(page, 'plugin', 'refreshes'), (await demo.close()).filter(({ grant, client }) => grant === 'refresh_token' && client === 'web').length, 'all refreshes there were')
})

t.test('npm start says which port is taken, and what to do', async (t) => {
  const { app: port } = await freePorts()
  const other = createServer().listen(port + 2, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const demo = npmStart(port)
  t.teardown(() => demo.kill())
  const [printed, [code]] = await Promise.all([text(demo.stdout), once(demo, 'exit')])
  t.match(printed, `Port ${port + 2} is taken`)
  t.match(printed, 'PORT=4000 npm start')
  t.equal(code, 1)
})

/** What `npm start` runs. */
function npmStart (port: number) {
  return spawn('env', [...demoNode, 'examples/bff/main.ts'], { env: { ...process.env, PORT: String(port) }, stdio: ['ignore', 'pipe', 'inherit'] })
}

interface Granted { client: string, grant: string, accessToken: string, refreshToken: string }

/** The demo in a process of its own, which tells what its identity provider gives out. */
async function startDemo ({ accessTokenSeconds = 15, ...how }: { accessTokenSeconds?: number, cluster?: { processes: number, redis: string } } = {}) {
  const ports = await freePorts()
  const program = `
    import { startDemo } from './examples/bff/demo.ts'
    const demo = await startDemo(${JSON.stringify({ ports, accessTokenSeconds, ...how })})
    demo.identityProvider.on('grant.success', ({ body, oidc }) => {
      process.send({ client: oidc.client.clientId, grant: oidc.params.grant_type, accessToken: body.access_token, refreshToken: body.refresh_token })
    })
    process.once('message', () => process.disconnect())
    process.once('disconnect', () => demo.close())
    process.send({ address: demo.address, issuer: demo.identityProvider.issuer })`
  const demo = spawn('env', [...demoNode, '--input-type=module', '--eval', program], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = once(demo, 'exit')
  const [{ address, issuer }] = await Promise.race([
    once(demo, 'message'),
    ended.then(([code]) => { throw new Error(`The demo did not start: exit code ${code}`) })
  ]) as [{ address: string, issuer: string }]
  const granted: Granted[] = []
  demo.on('message', (message) => granted.push(message as Granted))

  async function close (): Promise<Granted[]> {
    if (demo.connected) demo.send('close')
    await ended
    return granted
  }
  return { address, issuer, api: `http://127.0.0.1:${ports.api}`, granted, close }
}

/** Three ports in a row that nobody listens on; below the range from which other tests are given theirs. */
async function freePorts (): Promise<{ app: number, identityProvider: number, api: number }> {
  for (;;) {
    const app = randomInt(20_000, 32_000)
    const servers = [app, app + 1, app + 2].map((port) => createServer().listen(port, '127.0.0.1'))
    const free = await Promise.all(servers.map((server) => once(server, 'listening'))).then(() => true, () => false)
    for (const server of servers) server.close()
    if (free) return { app, identityProvider: app + 1, api: app + 2 }
  }
}

/** The demo, and a page of a browser that is on its way there. */
async function openDemo (t: Test, how: Parameters<typeof startDemo>[0] = {}) {
  const demo = await startDemo(how)
  t.teardown(() => demo.close())
  const browser = await startChromium()
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  page.setDefaultTimeout(20_000)
  return { demo, page }
}

async function logIn (page: Page, { address }: { address: string }): Promise<void> {
  await page.goto(address)
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.getByLabel('Username').fill('ada')
  await page.getByLabel('Password').fill('any')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Logged in as').waitFor()
  await page.locator('#hand .left', { hasText: 's left' }).waitFor()
}

/** Ten calls on each side, once the tokens of both have expired: until both sides say what came of them. */
async function callTenWhenExpired (page: Page): Promise<void> {
  for (const column of ['plugin', 'hand']) await page.locator(`#${column} .left`, { hasText: 'expired' }).waitFor()
  await page.getByRole('button', { name: '10 at once' }).click()
  for (const column of ['plugin', 'hand']) await verdict(page, column, / of 10 (answered|failed)/).waitFor()
}

/** What the app has left in the browser; the provider's are there for all ports of the host. */
async function appCookies (page: Page, { address }: { address: string }) {
  return (await page.context().cookies([address, `${address}/by-hand/`])).filter(({ name }) => !name.startsWith('idp_'))
}

function verdict (page: Page, column: string, hasText: RegExp) {
  return page.locator(`#${column} .verdict [role=status]`, { hasText })
}

async function count (page: Page, column: string, name: string): Promise<number> {
  return Number(await page.locator(`#${column} [data-count=${name}]`).textContent())
}

/** Every address, header and body that reaches the page. A response waits until its body is read, so none slips by. */
async function recordAll (page: Page): Promise<string[]> {
  const seen: string[] = []
  const browser = await page.context().newCDPSession(page)

  async function record ({ requestId, request, responseHeaders = [], responseStatusCode = 0, responseErrorReason }: Paused): Promise<void> {
    seen.push(request.url)
    const isStream = responseHeaders.some(({ value }) => value.startsWith('text/event-stream'))
    const isRedirect = responseStatusCode >= 300 && responseStatusCode <= 399
    if (responseErrorReason === undefined && !isStream && !isRedirect) {
      const { body, base64Encoded } = await browser.send('Fetch.getResponseBody', { requestId })
      seen.push(base64Encoded ? Buffer.from(body, 'base64').toString() : body)
    }
    await browser.send('Fetch.continueRequest', { requestId })
  }

  browser.on('Fetch.requestPaused', (paused) => {
    record(paused).catch((error: Error) => {
      // The page was left meanwhile, and never got it.
      if (!error.message.includes('Invalid InterceptionId')) throw error
    })
  })
  browser.on('Network.responseReceivedExtraInfo', ({ headers }) => seen.push(JSON.stringify(headers)))
  browser.on('Network.eventSourceMessageReceived', ({ data }) => seen.push(data))
  await browser.send('Network.enable')
  await browser.send('Fetch.enable', { patterns: [{ requestStage: 'Response' }] })
  return seen
}

interface Paused {
  requestId: string
  request: { url: string }
  responseHeaders?: Array<{ name: string, value: string }>
  responseStatusCode?: number
  responseErrorReason?: string
}
