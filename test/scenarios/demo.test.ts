import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Page } from 'playwright-core'
import t from 'tap'
import { whyNotChromium } from '../support/chromium.ts'
import { count, logIn, openDemo } from '../support/demo-page.ts'
import { freePorts, npmStart } from '../support/demo.ts'
import { startRedis, whyNotRedis } from '../support/redis-server.ts'

const skip = whyNotChromium()

t.setTimeout(180_000)

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

t.test('a page that is not there leads back', { skip }, async (t) => {
  const { demo, page } = await openDemo(t)
  t.equal((await page.goto(`${demo.address}/nowhere`))?.status(), 404)
  await page.getByRole('link', { name: 'Back to the demo' }).click()
  await page.getByRole('link', { name: 'Log in' }).waitFor()
})

t.test('the login page wants a username and a password, and the error page says what is wrong', { skip }, async (t) => {
  const { demo, page } = await openDemo(t)

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

/** What the app has left in the browser; the provider's are there for all ports of the host. */
async function appCookies (page: Page, { address }: { address: string }) {
  return (await page.context().cookies([address, `${address}/by-hand/`])).filter(({ name }) => !name.startsWith('idp_'))
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
