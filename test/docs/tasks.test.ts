/* What the pages of docs say, done: their snippets as they stand, against the strict server. */
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import type { AuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { Browser } from '../support/browser.ts'
import { authorize, goOn } from '../support/login-flow.ts'
import { startPageApp } from '../support/snippets.ts'

/** What a browser asks for a page with. */
const page = { accept: 'text/html' }

/** An API with one list, which knows whose token is good at this server. */
async function startOrders (t: Test, server: AuthorizationServer): Promise<void> {
  const orders: Array<{ title: string }> = [{ title: '<b>Tea</b>' }]
  const api = Fastify({ forceCloseConnections: true })
  t.teardown(() => api.close())
  api.addHook('onRequest', async ({ headers }, reply) => {
    if (server.whoHas(headers.authorization?.replace('Bearer ', '') ?? '') === null) await reply.code(401).send()
  })
  api.get('/orders', async () => orders)
  api.post<{ Body: { title: string } }>('/orders', async ({ body }) => { orders.push(body) })
  process.env.API = await api.listen({ port: 0, host: '127.0.0.1' })
}

test('docs/server-rendered.md: a page sends to the login and comes back, the layout says who it is, forms come from own pages only, and an outage has a page', async (t) => {
  const { server, clock, origin } = await startPageApp(t, 'server-rendered.md', { server: { expiresIn: 300, idTokenClaims: { name: 'Alice <3' } } })
  await startOrders(t, server)
  const browser = new Browser(origin)
  const home = await browser.get('/')
  t.match(home.text, '<a href="/auth/login">Log in</a>')
  t.equal(home.headers.get('cache-control'), null)

  const start = await browser.get('/orders', page)
  t.equal(start.status, 303)
  t.equal((await browser.get(await authorize(new URL(start.headers.get('location') ?? '')))).headers.get('location'), '/orders')
  const orders = await browser.get('/orders', page)
  t.match(orders.text, '<li>&lt;b&gt;Tea&lt;/b&gt;</li>')
  t.match(orders.text, 'Alice &lt;3')
  t.equal(orders.headers.get('cache-control'), 'no-store')
  t.match((await browser.get('/')).text, 'Alice &lt;3')

  const order = async (from: Record<string, string>) => await browser.send('POST', '/orders', { ...page, 'content-type': 'application/x-www-form-urlencoded', ...from }, 'title=Coffee')
  t.equal((await order({ 'sec-fetch-site': 'same-origin' })).headers.get('location'), '/orders')
  t.equal((await order({ origin })).status, 303, 'an older browser')
  t.equal((await order({ 'sec-fetch-site': 'same-site', origin })).status, 403)
  t.equal((await order({ origin: 'https://evil.example.com' })).status, 403)
  t.equal((await order({})).status, 403)
  t.equal((await browser.get('/orders', page)).text.match(/Coffee/g)?.length, 2)

  clock.now += 301
  await server.refuseConnections()
  const outage = await browser.get('/orders', page)
  t.match(outage, { status: 503, text: /Alice &lt;3[^]*Back in a moment/ })
  t.equal(outage.headers.get('retry-after'), '5')
  t.match((await browser.get('/orders')).json, { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' }, 'programs get JSON')
  await server.acceptConnections()
  clock.now += 30
  t.equal((await browser.get('/orders', page)).status, 200)
  t.equal((await goOn(browser, await browser.post('/auth/logout', page))).status, 303)
  t.match((await browser.get('/')).text, 'Log in')
})
