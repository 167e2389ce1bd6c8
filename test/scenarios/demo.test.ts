import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Page } from 'playwright-core'
import t from 'tap'
import { startChromium, whyNotChromium } from '../support/chromium.ts'
import { startRedis, whyNotRedis } from '../support/redis-server.ts'

// As `npm start` does it: tsx finds the package's name in lib. Without what tap gives to every child by NODE_OPTIONS.
const demoNode = ['-u', 'NODE_OPTIONS', process.execPath, '--import', 'tsx']
const skip = whyNotChromium()

t.setTimeout(120_000)

t.test('a person logs in, calls the API while the token is refreshed again and again, and logs out', { skip }, async (t) => {
  const demo = await startDemo({ accessTokenSeconds: 4 })
  t.teardown(() => demo.close())
  const browser = await startChromium()
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  page.setDefaultTimeout(20_000)
  const seen = await recordAll(page)

  await page.goto(demo.address)
  await page.getByRole('link', { name: 'Log in' }).click()
  t.equal(new URL(page.url()).origin, demo.issuer)
  await page.getByLabel('Username').fill('ada')
  await page.getByLabel('Password').fill('any')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Logged in as').waitFor()
  const cookies = (await page.context().cookies(demo.address)).filter(({ name }) => !name.startsWith('idp_'))
  t.match(cookies, [{ name: 'tokens', httpOnly: true, sameSite: 'Lax', secure: false, path: '/' }])
  t.equal(cookies.length, 1, 'the session is the only cookie that the app leaves in the browser')
  t.equal(await page.locator('#name').textContent(), 'Ada')

  await page.getByRole('button', { name: 'Start a loop' }).click()
  await page.locator('#events li[data-what="refreshed"]').nth(1).waitFor()
  await page.getByRole('button', { name: 'Stop the loop' }).click()

  // A call in the second half of its four seconds refreshes the token. What the API says of them is up to a second less
  // than the app counts, for the times in a JWT are whole seconds.
  await page.getByText(/^0\.\d s left$|^expired/).waitFor()
  t.equal(await number(page, '#failed'), 0)
  const answered = await number(page, '#answered')
  const refreshes = await number(page, '#refreshes')
  await page.getByRole('button', { name: '10 at once' }).click()
  await page.locator('#answered', { hasText: new RegExp(`^${answered + 10}$`) }).waitFor()
  await page.locator('#events li[data-what="refreshed"]').nth(refreshes).waitFor()
  t.equal(await number(page, '#refreshes'), refreshes + 1, 'ten calls at once cost one refresh')
  t.equal(await number(page, '#failed'), 0)
  seen.push(await page.content(), await page.evaluate('JSON.stringify([localStorage, sessionStorage, document.cookie])'))

  // While the loop runs: what it is told then (401) must not keep the browser from going to the provider.
  await page.getByRole('button', { name: 'Start a loop' }).click()
  await page.locator('#answered', { hasText: new RegExp(`^${answered + 11}$`) }).waitFor()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('link', { name: 'Log in' }).waitFor()
  t.equal(page.url(), `${demo.address}/`)
  t.equal(await page.evaluate('fetch("/api/orders").then((response) => response.status)'), 401)
  t.strictSame((await page.context().cookies(demo.address)).filter(({ name }) => !name.startsWith('idp_')), [])
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.getByLabel('Username').waitFor()
  seen.push(await page.content())

  const granted = await demo.close()
  t.ok(granted.filter(({ grant }) => grant === 'refresh_token').length > refreshes, 'the provider counts the refreshes too')
  for (const expected of ['Espresso machine', '"what":"refreshed"', 'class="brand"', 'EventSource', 'set-cookie']) {
    t.ok(seen.some((content) => content.includes(expected)), `what the browser got was recorded: ${expected}`)
  }
  const tokens = granted.flatMap(({ accessToken, refreshToken }) => [accessToken, refreshToken])
  t.equal(new Set(tokens).size, 2 * granted.length)
  t.notOk(tokens.some((token) => seen.some((content) => content.includes(token))), 'no token is in anything that the browser got')
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
  const demo = await startDemo({ accessTokenSeconds: 4, cluster: { processes: 3, redis: redis.url } })
  t.teardown(() => demo.close())
  const browser = await startChromium()
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  page.setDefaultTimeout(20_000)
  await page.goto(demo.address)
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.getByLabel('Username').fill('ada')
  await page.getByLabel('Password').fill('any')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Logged in as').waitFor()
  for (let round = 1; round <= 3; round++) {
    await page.getByRole('button', { name: '10 at once' }).click()
    await page.locator('#answered', { hasText: new RegExp(`^${round * 10}$`) }).waitFor()
    await page.locator('#left', { hasText: 'expired' }).waitFor()
  }
  t.match(await page.locator('#processes').textContent(), /process \d: \d+ · process \d: \d+/, 'several of them have answered')
  t.match(await page.locator('#events').textContent(), /Refreshed by process \d in/)
  t.equal(await number(page, '#failed'), 0)
  t.equal(await number(page, '#refreshes'), (await demo.close()).filter(({ grant }) => grant === 'refresh_token').length, 'all refreshes there were')
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

interface Granted { grant: string, accessToken: string, refreshToken: string }

/** The demo in a process of its own, which tells what its identity provider gives out. */
async function startDemo ({ accessTokenSeconds = 15, ...how }: { accessTokenSeconds?: number, cluster?: { processes: number, redis: string } } = {}) {
  const ports = await freePorts()
  const program = `
    import { startDemo } from './examples/bff/demo.ts'
    const demo = await startDemo(${JSON.stringify({ ports, accessTokenSeconds, ...how })})
    demo.identityProvider.on('grant.success', ({ body, oidc }) => {
      process.send({ grant: oidc.params.grant_type, accessToken: body.access_token, refreshToken: body.refresh_token })
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
  return { address, issuer, close }
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

async function number (page: Page, selector: string): Promise<number> {
  return Number(await page.locator(selector).textContent())
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
