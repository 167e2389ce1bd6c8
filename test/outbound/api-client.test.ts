import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import ky from 'ky'
import createClient from 'openapi-fetch'
import { test, type Test } from 'tap'
import { Agent, FormData as UndiciFormData, interceptors, Request as UndiciRequest } from 'undici'
import tokenManagement, { type ApiClient, type TokenManagementOptions } from '../../lib/index.ts'
import { type ApiOptions, startApi, type TestApi, tokenOf } from '../support/api.ts'
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { faults } from '../support/authorization-server/faults.ts'
import { everythingWithDpop, type Settings } from '../support/authorization-server/settings.ts'
import { type Answer, Browser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { assertNoSecrets } from '../support/scenario.ts'
import { sessionKey, startApp, type TestApp, type TestAppOptions } from '../support/start-app.ts'

type Apis = NonNullable<TokenManagementOptions['apis']>
type Call = (client: ApiClient, request: FastifyRequest) => Promise<unknown>

interface ApiApp extends TestApp {
  readonly server: AuthorizationServer
  readonly api: TestApi
  /** What a call of the API `name` by the app's own code brings, for this browser. */
  call (browser: Browser, call: Call, name?: string): Promise<Answer>
  /** The same, and the call itself or what it has thrown. */
  outcome (browser: Browser, call: Call, name?: string): Promise<unknown>
}

interface ApiAppOptions extends TestAppOptions {
  readonly server?: Partial<Settings>
  readonly api?: Partial<ApiOptions>
  readonly apiOptions?: Partial<Apis[string]>
  readonly moreApis?: (origin: string) => Apis
}

/** An app that calls an API, `orders`, with its user's token. */
async function startApiApp (t: Test, { server: settings, api: apiSettings, apiOptions, moreApis, ...options }: ApiAppOptions = {}): Promise<ApiApp> {
  const server = await startAuthorizationServer({ accessTokenFormat: 'jwt', ...settings })
  t.teardown(() => server.close())
  const api = await startApi(t, { issuer: server.issuer, clock: server.clock, ...apiSettings })
  let toCall: Call = async () => undefined
  let result: unknown
  const app = await startApp(t, server, {
    apis: { orders: { origin: api.origin, token: 'user', ...apiOptions }, ...moreApis?.(api.origin) },
    refresh: 'manual',
    routes: (instance) => {
      instance.get<{ Params: { name: string } }>('/call/:name', async (request) => {
        result = undefined
        try {
          result = await toCall(request.apiClient(request.params.name), request)
          return result instanceof Response ? { status: result.status, body: await result.clone().json().catch(() => null) } : result
        } catch (error) {
          result = error
          throw error
        }
      })
    },
    ...options
  })
  server.settings.clock = () => app.clock.now
  const call: ApiApp['call'] = async (browser, made, name = 'orders') => {
    toCall = made
    return await browser.get(`/call/${name}`)
  }
  return { ...app, server, api, call, outcome: async (...parameters) => { await call(...parameters); return result } }
}

const getOrders: Call = async ({ fetch }) => await fetch('/orders')

test('R20 the user\'s current access token goes with a call, under the canonical name of its scheme, and nowhere but in that header', async (t) => {
  const { api, call, login, server } = await startApiApp(t)
  const browser = await login()
  const { json } = await call(browser, getOrders)
  t.match(json, { status: 200, body: { sub: 'alice', method: 'GET', url: '/orders' } })
  t.match(api.requests, [{ headers: { authorization: /^(Bearer|DPoP) ey/ } }])
  const [{ headers: { authorization = '', ...others } = {}, ...rest } = {}] = api.requests
  const [, token = 'none'] = authorization.split(' ')
  t.notOk(JSON.stringify([others, rest]).includes(token))
  t.equal(server.refreshes, 0)
})

for (const tokenType of ['bearer', 'BEARER', 'beaRer']) {
  test(`whatever the case of the token_type (${tokenType}), the scheme is Bearer`, { skip: everythingWithDpop }, async (t) => {
    const { api, call, save, server } = await startApiApp(t)
    const browser = await save({ ...await server.issue(), token_type: tokenType })
    t.match((await call(browser, getOrders)).json, { status: 200 })
    t.match(api.requests[0]?.headers.authorization, /^Bearer /)
  })
}

test('an expired token is refreshed before the call, and the browser gets the new session', async (t) => {
  const { api, call, login, clock, server } = await startApiApp(t)
  const browser = await login()
  clock.now += 301
  const answer = await call(browser, getOrders)
  t.match(answer.json, { status: 200 })
  t.equal(answer.setCookies.length, 1)
  t.equal(server.refreshes, 1)
  t.equal(api.requests.length, 1)
})

test('1,000 calls at once on an expired token cost one refresh', async (t) => {
  const { api, call, login, clock, server } = await startApiApp(t)
  const browser = await login()
  clock.now += 301
  const { json } = await call(browser, async ({ fetch }) => {
    const answers = await Promise.all(Array.from({ length: 1000 }, async () => await (await fetch('/orders')).json()))
    return { alice: answers.filter((body) => (body as { sub: string }).sub === 'alice').length }
  })
  t.strictSame(json, { alice: 1000 })
  t.equal(server.refreshes, 1)
  t.equal(new Set(api.requests.map(tokenOf)).size, 1)
})

test('R21 a token that the API rejects is renewed, and the call made again, once', async (t) => {
  const { api, call, login, server } = await startApiApp(t)
  const browser = await login()
  await call(browser, getOrders)
  const [first] = api.requests
  api.reject(tokenOf(first ?? { method: '', url: '', headers: {} }))
  const answer = await call(browser, getOrders)
  t.match(answer.json, { status: 200, body: { sub: 'alice' } })
  t.equal(answer.setCookies.length, 1, 'the browser has the new session')
  t.strictSame(api.requests.map(({ status }) => status), [200, 401, 200])
  t.equal(server.refreshes, 1)

  t.match((await call(browser, getOrders)).json, { status: 200 })
  t.equal(server.refreshes, 1, 'the next call has the new token')
})

test('R21 an API that rejects the new token, too, is not asked a third time, and costs no refresh for each of its next 401s', async (t) => {
  const { api, call, login, server } = await startApiApp(t)
  const browser = await login()
  api.next((_request, reply) => reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send({ api: 'no' }), 3)
  t.match((await call(browser, getOrders)).json, { status: 401, body: { api: 'no' } })
  t.equal(api.requests.length, 2)
  t.equal(server.refreshes, 1)
  t.match((await call(browser, getOrders)).json, { status: 401 })
  t.equal(api.requests.length, 3)
  t.equal(server.refreshes, 1)
})

for (const [name, status, challenge, tries] of [
  ['a 401 that says nothing', 401, undefined, 2],
  ['a challenge without an error', 401, 'Bearer realm="orders"', 2],
  ['any case, and several challenges', 401, 'Basic realm="a", bearer scope="x", ERROR = "invalid_token"', 2],
  ['an invalid request', 401, 'Bearer error="invalid_request"', 1],
  ['a stronger login that is wanted (RFC 9470)', 401, 'Bearer error="insufficient_user_authentication", acr_values="mfa"', 1],
  ['a description that speaks of an invalid token', 401, 'Bearer error="insufficient_scope", error_description="not error=invalid_token"', 1],
  ['R21 too little scope', 403, 'Bearer error="insufficient_scope", scope="write"', 1],
  ['a 403 that says nothing', 403, undefined, 1]
] as const) {
  test(`${name}: the API is asked ${tries === 1 ? 'once, and its answer passed on' : 'again with a new token'}`, async (t) => {
    const { api, outcome, login, server } = await startApiApp(t)
    api.next((_request, reply) => reply.code(status).headers(challenge === undefined ? {} : { 'www-authenticate': challenge }).send({ api: 'no' }))
    const response = await outcome(await login(), getOrders)
    if (!(response instanceof Response)) throw response
    t.equal(response.status, tries === 1 ? status : 200)
    t.equal(api.requests.length, tries)
    t.equal(server.refreshes, tries - 1)
    if (tries === 1) t.strictSame(await response.json(), { api: 'no' })
  })
}

test('calls that are rejected at once share one renewal', async (t) => {
  const { api, call, login, server } = await startApiApp(t)
  const browser = await login()
  await call(browser, getOrders)
  api.requests.forEach((request) => api.reject(tokenOf(request)))
  const { json } = await call(browser, async ({ fetch }) => ({ statuses: (await Promise.all(Array.from({ length: 20 }, () => fetch('/orders')))).map(({ status }) => status) }))
  t.strictSame(new Set(json.statuses as number[]), new Set([200]))
  t.equal(server.refreshes, 1)
})

/** How a body can be given, and what of it the API gets. */
const form = (FormDataClass: typeof FormData) => { const data = new FormDataClass(); data.set('a', 'b'); data.set('file', new Blob(['content']), 'file.txt'); return data }
const bodies: Record<string, { readonly init: () => RequestInit & { duplex?: 'half' }, readonly body: RegExp | string | object }> = {
  text: { init: () => ({ body: 'text' }), body: 'text' },
  JSON: { init: () => ({ body: '{"a":1}', headers: { 'content-type': 'application/json' } }), body: { a: 1 } },
  'a buffer': { init: () => ({ body: Buffer.from('bytes') }), body: 'bytes' },
  URLSearchParams: { init: () => ({ body: new URLSearchParams({ a: 'b c' }) }), body: 'a=b+c' },
  FormData: { init: () => ({ body: form(FormData) }), body: /name="a"\r\n\r\nb[^]*filename="file.txt"[^]*content/ },
  'a Blob': { init: () => ({ body: new Blob(['blob']) }), body: 'blob' },
  'a stream that is not too large': { init: () => ({ body: Readable.toWeb(Readable.from(['str', 'eam'])) as ReadableStream, duplex: 'half' }), body: 'stream' }
}
for (const [name, { init, body }] of Object.entries(bodies)) {
  test(`${name} is sent again, the same to the byte`, async (t) => {
    const { api, call, login } = await startApiApp(t)
    const browser = await login()
    api.next((_request, reply) => reply.code(401).send({}))
    const { json } = await call(browser, async ({ fetch }) => await fetch('/orders', { method: 'POST', ...init() }))
    t.match(json, { status: 200, body: { method: 'POST', body } })
    t.equal(api.requests.length, 2)
    t.equal(api.requests[0]?.headers['content-type'], api.requests[1]?.headers['content-type'])
  })
  test(`${name} is sent again where it comes in a Request`, async (t) => {
    const { api, call, login } = await startApiApp(t)
    const browser = await login()
    api.next((_request, reply) => reply.code(401).send({}))
    const { json } = await call(browser, async ({ fetch, origin }) => await fetch(new Request(`${origin}/orders`, { method: 'POST', ...init() })))
    t.match(json, { status: 200, body: { method: 'POST', body } })
    t.equal(api.requests.length, 2)
  })
}

test('a stream of more than 1 MiB is sent once, and the API\'s 401 passed on; the next call has a new token', async (t) => {
  const { api, call, login, server } = await startApiApp(t)
  const browser = await login()
  await call(browser, getOrders)
  api.requests.forEach((request) => api.reject(tokenOf(request)))
  const large = () => Readable.from(Array.from({ length: 40 }, () => Buffer.alloc(32_768, 'x')))
  const { json } = await call(browser, async ({ fetch }) => await fetch('/orders', { method: 'POST', body: Readable.toWeb(large()) as ReadableStream, duplex: 'half' } as RequestInit))
  t.match(json, { status: 401, body: { api: 'invalid_token' } })
  t.equal(api.requests.length, 2)
  t.equal(server.refreshes, 0)
  t.match((await call(browser, getOrders)).json, { status: 200 })
})

test('the dispatcher is one of undici: it sends all that undici sends, again if need be, and composes with interceptors', async (t) => {
  const { api, call, login } = await startApiApp(t)
  const browser = await login()
  const sent: Array<[string, Parameters<ApiClient['dispatcher']['request']>[0]['body'], unknown]> = [
    ['text', 'text', 'text'],
    ['bytes', Buffer.from('bytes'), 'bytes'],
    ['a stream', Readable.from(['str', 'eam']), 'stream'],
    ['a form', form(UndiciFormData as typeof FormData) as InstanceType<typeof UndiciFormData>, /content/]
  ]
  for (const [name, body, got] of sent) {
    api.next((_request, reply) => reply.code(401).send({}))
    const { json } = await call(browser, async ({ dispatcher }) => {
      const answer = await dispatcher.request({ method: 'POST', path: '/orders', body })
      return { status: answer.statusCode, body: await answer.body.json() }
    })
    t.match(json, { status: 200, body: { sub: 'alice', body: got } }, name)
  }
  api.next((_request, reply) => reply.code(503).send({}))
  const { json } = await call(browser, async ({ dispatcher, origin }) => {
    const answer = await dispatcher.compose(interceptors.retry({ minTimeout: 1 })).request({ origin, method: 'GET', path: '/orders?a=b' })
    return { status: answer.statusCode, body: await answer.body.json() }
  })
  t.match(json, { status: 200, body: { sub: 'alice', url: '/orders?a=b' } })
  for (const headers of [['x-a', '1', 'x-b', '2'], new Map([['x-a', '1'], ['x-b', '2']]), { 'x-a': '1', 'x-b': '2' }]) {
    await call(browser, async ({ dispatcher }) => { await (await dispatcher.request({ method: 'GET', path: '/orders', headers })).body.dump(); return {} })
    t.match(api.requests.at(-1), { status: 200, headers: { 'x-a': '1', 'x-b': '2' } })
  }
})

test('openapi-fetch and ky call the API with its token, and again where it is rejected', async (t) => {
  const { api, call, login } = await startApiApp(t)
  const browser = await login()
  interface Paths { '/orders/{id}': { put: { parameters: { path: { id: string } }, requestBody: { content: { 'application/json': { amount: number } } }, responses: { 200: { content: { 'application/json': { body: { amount: number }, url: string } } } } } } }
  api.next((_request, reply) => reply.code(401).send({}))
  const generated = await call(browser, async ({ fetch, origin }) => {
    const { data } = await createClient<Paths>({ baseUrl: origin, fetch }).PUT('/orders/{id}', { params: { path: { id: '7' } }, body: { amount: 3 } })
    return { data }
  })
  t.match(generated.json, { data: { sub: 'alice', url: '/orders/7', body: { amount: 3 } } })
  api.next((_request, reply) => reply.code(401).send({}))
  const kys = await call(browser, async ({ fetch, origin }) => ({ data: await ky.create({ prefixUrl: origin, fetch }).put('orders/7', { json: { amount: 4 } }).json() }))
  t.match(kys.json, { data: { sub: 'alice', url: '/orders/7', body: { amount: 4 } } })
  t.strictSame(api.requests.map(({ status }) => status), [401, 200, 401, 200])
})

test('the token goes to its origin only: whatever is elsewhere is refused, and nothing is sent', async (t) => {
  const { api, outcome, login, server, log } = await startApiApp(t)
  const browser = await login()
  const other = await startApi(t, { issuer: server.issuer })
  const { host } = new URL(other.origin)
  const { host: own } = new URL(api.origin)
  const addresses = [`${other.origin}/orders`, `//${host}/orders`, `\\\\${host}\\orders`, `/\\${host}/orders`, `http://${own}@${host}/`, `http://alice@${own}/orders`, `http://alice:secret@${own}/orders`,
    `https://${own}/orders`, `http://localhost:${new URL(api.origin).port}/orders`, 'data:text/plain,hello', ` \t${other.origin}/orders`, `ht\ntp://${host}/`]
  for (const address of addresses) {
    t.match(await outcome(browser, async ({ fetch }) => await fetch(address)), { code: 'FST_TOKEN_FOREIGN_ORIGIN', statusCode: 500 }, address)
    if (URL.canParse(address) && !address.includes('@')) t.match(await outcome(browser, async ({ fetch }) => await fetch(new Request(address))), { code: 'FST_TOKEN_FOREIGN_ORIGIN' }, `${address} in a Request`)
  }
  for (const options of [{ origin: other.origin, path: '/orders' }, { origin: new URL(other.origin), path: '/orders' }, { path: `${other.origin}/orders` }, { path: `//${host}@evil`, origin: `http://${host}` }]) {
    t.match(await outcome(browser, async ({ dispatcher }) => await dispatcher.request({ method: 'GET', ...options })), { code: 'FST_TOKEN_FOREIGN_ORIGIN' }, JSON.stringify(options))
  }
  t.equal(other.requests.length, 0)
  t.equal(api.requests.length, 0)
  assertNoSecrets(t, server, log)
})

test('a Request of another fetch is refused: it would be taken for a path', async (t) => {
  const { api, outcome, login } = await startApiApp(t)
  const browser = await login()
  for (const request of [new UndiciRequest(`${api.origin}/orders`), { url: `${api.origin}/orders` }, 7, undefined]) {
    t.match(await outcome(browser, async ({ fetch }) => await Reflect.apply(fetch, undefined, [request])), { code: 'FST_TOKEN_INVALID_PARAMETERS', message: /globalThis\.Request/ })
  }
  t.equal(api.requests.length, 0)
})

test('a cache below the token gives nobody the answers of somebody else', async (t) => {
  const dispatcher = new Agent().compose(interceptors.cache())
  t.teardown(() => dispatcher.destroy())
  const { api, call, login } = await startApiApp(t, { apiOptions: { dispatcher }, api: { routes: (app) => { app.get<{ Params: { who: string } }>('/kept/:who', ({ params: { who } }, reply) => reply.header('cache-control', `${who}max-age=60`).send({})) } } })
  for (const browser of [await login(), await login()]) {
    for (const path of ['/kept/', '/kept/public,']) await call(browser, async ({ fetch }) => await fetch(path))
  }
  t.strictSame(api.requests.map(({ url }) => url), ['/kept/', '/kept/public,', '/kept/'], 'unless the API says that it is for all')
})

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect (${status}) is followed only where that is asked for, and never to another origin`, async (t) => {
    const { api, outcome, login, server } = await startApiApp(t)
    const browser = await login()
    const other = await startApi(t, { issuer: server.issuer, anonymous: true })
    const redirect = (location: string) => api.next((_request, reply) => reply.code(status).header('location', location).send())
    redirect('/elsewhere')
    for (const made of [getOrders, async ({ fetch, origin }: ApiClient) => { redirect('/elsewhere'); return await fetch(new Request(`${origin}/orders`)) }]) {
      t.match(await outcome(browser, made), { status, headers: { get: Function } })
    }
    t.equal(api.requests.length, 2)

    redirect('/elsewhere')
    t.match(await outcome(browser, async ({ fetch }) => await (await fetch('/orders', { redirect: 'follow' })).json()), { sub: 'alice', url: '/elsewhere' })
    for (const target of [`${other.origin}/stolen`, `//${new URL(other.origin).host}/stolen`]) {
      redirect(target)
      t.match(await outcome(browser, async ({ fetch }) => await fetch('/orders', { redirect: 'follow' })), { code: 'FST_TOKEN_FOREIGN_ORIGIN' })
    }
    t.equal(other.requests.length, 0)
    redirect('/elsewhere')
    t.match(await outcome(browser, async ({ fetch, origin }) => await fetch(new Request(`${origin}/orders`, { redirect: 'error' }))), TypeError)
  })
}

test('an Authorization or DPoP of the caller\'s own is refused: it would be lost', async (t) => {
  const { api, outcome, login } = await startApiApp(t, { moreApis: (origin) => ({ open: { origin, token: 'none' } }) })
  const browser = await login()
  for (const name of ['authorization', 'Authorization', 'DPoP']) {
    t.match(await outcome(browser, async ({ fetch }) => await fetch('/orders', { headers: { [name]: 'x' } })), { code: 'FST_TOKEN_INVALID_PARAMETERS', message: new RegExp(name, 'i') })
    for (const headers of [{ [name]: 'x' }, [name, 'x'], new Map([[name, 'x']])]) {
      t.match(await outcome(browser, async ({ dispatcher }) => await dispatcher.request({ method: 'GET', path: '/', headers })), { code: 'FST_TOKEN_INVALID_PARAMETERS' })
    }
  }
  t.equal(api.requests.length, 0)
  await outcome(browser, async ({ fetch }) => await fetch('/orders', { headers: { authorization: 'Basic a2V5' } }), 'open')
  t.match(api.requests, [{ headers: { authorization: 'Basic a2V5' } }], 'an API without a token takes what it is given')
})

test('a Content-Type in the headers and everything else reaches the API as given', async (t) => {
  const { api, call, login } = await startApiApp(t)
  await call(await login(), async ({ fetch }) => await fetch('/orders?a=%20b&a=c', { method: 'PATCH', body: '[]', headers: new Headers({ 'content-type': 'application/json', 'x-trace': '1' }) }))
  t.match(api.requests[0], { method: 'PATCH', url: '/orders?a=%20b&a=c', headers: { 'content-type': 'application/json', 'x-trace': '1', cookie: undefined } })
})

test('no token to be had is the coded error, and nothing is sent', async (t) => {
  const { api, call, outcome, login, server, clock } = await startApiApp(t)
  const anonymous = await call(new Browser((await login()).origin), getOrders)
  t.match(anonymous, { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED' } })

  const browser = await login()
  clock.now += 301
  server.fault(faults.answer(500), Infinity)
  const outage = await call(browser, getOrders)
  t.match(outage, { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.ok(outage.headers.get('retry-after'))
  t.match(await outcome(browser, async ({ dispatcher }) => await dispatcher.request({ method: 'POST', path: '/', body: Readable.from(['a']) })), { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' })
  server.clearFaults()
  clock.now += 31
  server.fault(faults.oauthError('invalid_grant'), Infinity)
  t.match(await call(browser, getOrders), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED' } })
  t.equal(api.requests.length, 0)
})

test('a token that is rejected and cannot be renewed is the coded error, too', async (t) => {
  const { api, call, login, server } = await startApiApp(t)
  const browser = await login()
  api.next((_request, reply) => reply.code(401).send({}), 2)
  server.fault(faults.answer(500))
  t.match(await call(browser, getOrders), { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  t.equal(api.requests.length, 1)
})

const machine: Pick<TokenManagementOptions, 'clients'> = { clients: { machine: { scope: ['stock'] } } }
const kinds = (origin: string): Apis => ({
  client: { origin, token: 'client', client: 'machine' },
  either: { origin, token: 'user-or-client', client: 'machine' },
  optional: { origin, token: 'user-or-none' },
  none: { origin, token: 'none' }
})

test('whose token goes along: the user\'s, the client\'s, either by who is logged in, or none', async (t) => {
  const { api, call, login, origin } = await startApiApp(t, { ...machine, moreApis: kinds, api: { anonymous: true } })
  const who = async (browser: Browser, name: string) => ((await call(browser, getOrders, name)).json.body as { sub: string } | undefined)?.sub
  const anonymous = new Browser(origin)
  const alice = await login()
  t.strictSame([await who(alice, 'orders'), await who(alice, 'client'), await who(alice, 'either'), await who(alice, 'optional'), await who(alice, 'none')], ['alice', 'web', 'alice', 'alice', null])
  t.strictSame([await who(anonymous, 'orders'), await who(anonymous, 'client'), await who(anonymous, 'either'), await who(anonymous, 'optional'), await who(anonymous, 'none')], [undefined, 'web', 'web', null, null])
  t.match(api.requests.filter(({ claims }) => claims?.sub === 'web').map(({ claims }) => claims?.scope), ['stock', 'stock', 'stock'])
})

test('a session whose token cannot be had is an error, and never the client\'s or nobody\'s turn', async (t) => {
  const { api, call, login, server, clock } = await startApiApp(t, { ...machine, moreApis: kinds, api: { anonymous: true } })
  const [first, second] = [await login(), await login()] as const
  clock.now += 301
  server.fault(faults.answer(500), Infinity)
  for (const name of ['either', 'optional']) t.match(await call(first, getOrders, name), { status: 503, json: { code: 'FST_TOKEN_SERVICE_UNAVAILABLE' } })
  server.clearFaults()
  clock.now += 31
  server.fault(faults.oauthError('invalid_grant'), Infinity)
  for (const name of ['either', 'optional']) t.match(await call(second, getOrders, name), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED' } })
  t.equal(api.requests.length, 0)
})

test('a session that ends between a rejection and the renewal is nobody else\'s turn either', async (t) => {
  const { api, call, login, server } = await startApiApp(t, { ...machine, moreApis: kinds, api: { anonymous: true } })
  const browser = await login()
  api.next(async (_request, reply) => {
    server.fault(faults.oauthError('invalid_grant'), Infinity)
    return await reply.code(401).send({})
  })
  t.match(await call(browser, getOrders, 'either'), { status: 401, json: { code: 'FST_TOKEN_LOGIN_REQUIRED' } })
  t.equal(api.requests.length, 1)
})

test('app.apiClient calls with the token of a client, renewed once where it is rejected, or with none; and for no user', async (t) => {
  const { app, api, server } = await startApiApp(t, { ...machine, moreApis: kinds, api: { anonymous: true } })
  t.match(await (await app.apiClient('client').fetch('/levels')).json(), { sub: 'web', scope: 'stock' })
  api.requests.forEach((request) => api.reject(tokenOf(request)))
  t.match(await (await app.apiClient('client').fetch('/levels', { method: 'POST', body: 'x' })).json(), { sub: 'web', body: 'x' })
  t.equal(server.tokenRequests, 2)
  t.strictSame(api.requests.map(({ status }) => status), [200, 401, 200])
  t.match(await (await app.apiClient('none').fetch('/levels')).json(), { sub: null })
  for (const name of ['orders', 'either', 'optional']) t.throws(() => app.apiClient(name), { code: 'FST_TOKEN_INVALID_PARAMETERS', message: /request\.apiClient/ })
  t.throws(() => app.apiClient('nothing'), { code: 'FST_TOKEN_UNKNOWN_API', message: /orders, client, either, optional, none/ })
  server.fault(faults.oauthError('invalid_client', 401), Infinity)
  api.requests.forEach((request) => request.headers.authorization && api.reject(tokenOf(request)))
  await t.rejects(app.apiClient('client').fetch('/levels'), { code: 'FST_TOKEN_SERVICE_REFUSED', statusCode: 502 })
})

test('an API may want a token of its own: for its resource, of its scope, or exchanged', async (t) => {
  const resource = 'https://orders.example.com'
  const { api, call, login, server } = await startApiApp(t, {
    api: { audience: resource },
    apiOptions: { resource, scope: ['openid', 'offline_access'] },
    moreApis: (origin) => ({ exchanged: { origin, token: 'user', exchange: { resource, scope: 'openid' } } })
  })
  const browser = await login()
  t.match((await call(browser, getOrders)).json, { status: 200, body: { sub: 'alice', aud: resource } })
  t.match(server.requestsTo('token')[0], { params: { resource } })
  t.match((await call(browser, getOrders, 'exchanged')).json, { status: 200, body: { sub: 'alice', aud: resource } })
  t.match(server.requestsTo('token').at(-1), { grant: 'urn:ietf:params:oauth:grant-type:token-exchange' })
  const before = server.tokenRequests
  api.requests.forEach((request) => api.reject(tokenOf(request)))
  t.match((await call(browser, getOrders, 'exchanged')).json, { status: 200 })
  t.equal(server.tokenRequests, before + 1, 'it is the exchanged token that is renewed')
  t.equal(server.requestsTo('token').at(-1)?.grant, 'urn:ietf:params:oauth:grant-type:token-exchange')
})

test('a second provider has APIs of its own, with its own tokens', async (t) => {
  const second = await startAuthorizationServer({ accessTokenFormat: 'jwt', clientId: 'another', user: 'bob' })
  t.teardown(() => second.close())
  const stock = await startApi(t, { issuer: second.issuer })
  const registration = { name: 'second', issuer: second.issuer, clientId: 'another', clientSecret: 'a secret', session: { key: sessionKey }, dpop: second.settings.dpop }
  const issued = await second.issue()
  const { call, login } = await startApiApp(t, {
    before: (app) => { app.addHook('preHandler', async (request) => { if (request.url === '/call/stock') { const { dpopKey, ...tokens } = issued; await request.tokens.save(tokens, { provider: 'second', ...dpopKey && { dpopKey } }) } }) },
    routes: async (app) => {
      await app.register(tokenManagement, { ...registration, apis: { stock: { origin: stock.origin, token: 'user' } } })
      app.get<{ Params: { name: string } }>('/call/:name', async (request) => await (await request.apiClient(request.params.name).fetch('/levels')).json())
    }
  })
  const browser = await login()
  t.match((await call(browser, getOrders, 'stock')).json, { sub: 'bob' })
  t.match((await call(browser, getOrders, 'orders')).json, { sub: 'alice' })
})

test('R32 R35 R36 with DPoP each call has a proof of its own, with the nonce that the API has last sent', async (t) => {
  const { api, call, login, server } = await startApiApp(t, { server: { dpop: true }, api: { dpopNonce: 'once' } })
  const browser = await login()
  t.match((await call(browser, async ({ fetch }) => await fetch('/orders?a=b', { method: 'POST', body: 'x' }))).json, { status: 200, body: { sub: 'alice', body: 'x' } })
  t.strictSame(api.requests.map(({ status }) => status), [401, 200], 'the nonce is learned by the first')
  t.match(api.requests[1]?.headers.authorization, /^DPoP /)
  for (let count = 0; count < 3; count++) t.match((await call(browser, getOrders)).json, { status: 200 })
  t.equal(api.requests.length, 5, 'and the nonce of each answer is used by the next')
  api.requests.forEach((request) => api.reject(tokenOf(request)))
  t.match((await call(browser, getOrders)).json, { status: 200 })
  t.equal(server.refreshes, 1, 'a rejected token is renewed with DPoP, too')
})

test('R35 an API that wants another nonce each time is asked four times at most, and its answer passed on', async (t) => {
  const { api, call, login, server } = await startApiApp(t, { server: { dpop: true } })
  const browser = await login()
  let nonce = 0
  api.next((_request, reply) => reply.code(401).headers({ 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'dpop-nonce': `nonce-${nonce++}` }).send({ api: 'nonce' }), 10)
  t.match((await call(browser, getOrders)).json, { status: 401, body: { api: 'nonce' } })
  t.equal(api.requests.length, 4)
  t.equal(server.refreshes, 0)
})

test('R35 a nonce that does not change, or is missing, is not tried again', async (t) => {
  const { api, call, login } = await startApiApp(t, { server: { dpop: true } })
  const browser = await login()
  const challenge = { 'www-authenticate': 'DPoP error="use_dpop_nonce"' }
  api.next((_request, reply) => reply.code(401).headers({ ...challenge, 'dpop-nonce': 'same' }).send({}), 2)
  t.match((await call(browser, getOrders)).json, { status: 401 })
  t.equal(api.requests.length, 2)
  api.next((_request, reply) => reply.code(401).headers(challenge).send({}))
  t.match((await call(browser, getOrders)).json, { status: 401 })
  t.equal(api.requests.length, 3)
})

test('the tokens of a client are bound to its key, too', async (t) => {
  const { app, api } = await startApiApp(t, { ...machine, moreApis: kinds, server: { dpop: true }, api: { dpopNonce: 'newest' } })
  t.match(await (await app.apiClient('client').fetch('/levels')).json(), { sub: 'web' })
  t.match(await (await app.apiClient('client').fetch('/levels')).json(), { sub: 'web' })
  t.strictSame(api.requests.map(({ status }) => status), [401, 200, 200])
})

test('an abort ends a call at each of its moments, as fetch has it', async (t) => {
  const { api, outcome, login, server, clock } = await startApiApp(t)
  const browser = await login()
  const aborted = new AbortController()
  aborted.abort()
  t.match(await outcome(browser, async ({ fetch }) => await fetch('/orders', { signal: aborted.signal })), { name: 'AbortError' })

  clock.now += 301
  const gate = server.hold()
  const during = new AbortController()
  const refused = outcome(browser, async ({ fetch }) => await fetch('/orders', { signal: during.signal }))
  await gate.arrived(1)
  during.abort()
  t.match(await refused, { name: 'AbortError' }, 'while the token is refreshed')
  gate.release()
  t.equal(api.requests.length, 0)

  const waiting = new AbortController()
  api.next(() => { waiting.abort(); return new Promise(() => {}) })
  t.match(await outcome(browser, async ({ fetch }) => await fetch('/orders', { signal: waiting.signal })), { name: 'AbortError' }, 'while the API thinks')
  t.match(await outcome(browser, async ({ fetch }) => { api.next(() => new Promise(() => {})); return await fetch('/orders', { signal: AbortSignal.timeout(50) }) }), { name: 'TimeoutError' })
})

test('an API that is down is a TypeError with its cause, as fetch has it', async (t) => {
  const port = await freePort()
  const { outcome, login } = await startApiApp(t, { apiOptions: { origin: `http://127.0.0.1:${port}` } })
  t.match(await outcome(await login(), getOrders), { name: 'TypeError', cause: { code: 'ECONNREFUSED' } })
})

test('an answer is streamed as it comes', async (t) => {
  const { call, login } = await startApiApp(t, {
    api: { routes: (app) => { app.get('/stream', (_request, reply) => { const stream = new Readable({ read () {} }); stream.push('first'); reply.send(stream); setImmediate(() => stream.emit('waiting')); stream.once('go', () => { stream.push('second'); stream.push(null) }); streams.push(stream) }) } }
  })
  const streams: Readable[] = []
  const { json } = await call(await login(), async ({ fetch }) => {
    const reader = (await fetch('/stream')).body?.getReader()
    const first = Buffer.from((await reader?.read())?.value ?? []).toString()
    streams[0]?.emit('go')
    return { first, second: Buffer.from((await reader?.read())?.value ?? []).toString() }
  })
  t.strictSame(json, { first: 'first', second: 'second' })
})

test('an answer of 401 whose body has no end does not keep the retry waiting', async (t) => {
  const { api, call, login } = await startApiApp(t)
  api.next((_request, reply) => reply.code(401).send(new Readable({ read () { this.push(Buffer.alloc(16_384)) } })))
  t.match((await call(await login(), getOrders)).json, { status: 200 })
})

test('calls go over the dispatcher of the API, which the app closes; else over one that is nobody else\'s, and closes with the app', async (t) => {
  const own = new Agent()
  t.teardown(() => own.close())
  const { app, api, call, login } = await startApiApp(t, { moreApis: (origin) => ({ own: { origin, token: 'none', dispatcher: own } }) })
  const browser = await login()
  await call(browser, getOrders)
  t.notOk(app.backchannel === own)
  const connected = new Promise((resolve) => own.once('connect', resolve))
  t.match((await call(browser, getOrders, 'own')).json, { status: 401 })
  await connected
  await app.close()
  t.notOk(own.closed)
  t.ok(api.requests.length === 2)
})

test('wrong options of APIs fail the boot, and say which', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const fails = async (orders: object, message: RegExp, more: TestAppOptions = {}) =>
    await t.rejects(startApp(t, server, { apis: { orders: { origin: 'https://orders.internal', token: 'user', ...orders } }, ...more }), { code: 'FST_TOKEN_INVALID_OPTIONS', message })
  for (const origin of ['orders', 'https://orders.internal/', 'https://orders.internal/v1', 'https://a@orders.internal', 'https://ORDERS.internal', 'https://orders.internal:443', 'ftp://orders.internal', 'data:x']) await fails({ origin }, /apis\.orders\.origin/)
  await fails({ origin: 'http://orders.internal' }, /apis\.orders\.origin must be https/)
  await fails({ token: 'machine' }, /apis\.orders\.token must be one of 'user', 'client'/)
  await fails({ token: undefined }, /apis\.orders\.token/)
  await fails({ client: 'machine' }, /apis\.orders\.client: no client's token/)
  for (const token of ['client', 'user-or-client']) {
    await fails({ token }, /apis\.orders\.client is required/)
    await fails({ token, client: 'machine' }, /there is no client machine.*none/)
    await fails({ token, client: 'machin' }, /there is no client machin\..*machine/, machine)
  }
  await fails({ resource: 'orders' }, /apis\.orders\.resource/)
  await fails({ scope: ['a b'] }, /apis\.orders\.scope/)
  await fails({ token: 'none', scope: ['a'] }, /apis\.orders\.scope: this API gets no token/)
  await fails({ token: 'client', client: 'machine', exchange: { audience: 'x' } }, /apis\.orders\.exchange: only a user's/, machine)
  await fails({ exchange: { resource: 'x' } }, /apis\.orders\.exchange/)
  await fails({ exchange: { actor: {} } }, /apis\.orders\.exchange\.actor: no such option/)
  await fails({ exchange: { parameters: { grant_type: 'x' } } }, /apis\.orders\.exchange: .*grant_type/)
  await fails({ dispatcher: {} }, /apis\.orders\.dispatcher/)
  await fails({ dispatcher: { dispatch () {} } }, /apis\.orders\.dispatcher is no Dispatcher/)
  await fails({ path: '/' }, /apis\.orders\.path: no such option/)
  await fails({}, /apis\.orders: another registration has an API of that name/, {
    before: async (app) => { await app.register(tokenManagement, { name: 'first', issuer: server.issuer, clientId: 'web', clientSecret: 'a secret', session: { key: sessionKey }, apis: { orders: { origin: 'https://orders.internal', token: 'none' } } }) }
  })
  await startApp(t, server, { apis: { orders: { origin: 'http://orders.internal', token: 'user' } }, allowInsecureRequests: ['http://orders.internal'] })
})

test('without the option apis there is no apiClient; an API that nobody has declared is told by name', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const { app } = await startApp(t, server)
  t.notOk(app.hasDecorator('apiClient'))
  t.notOk(app.hasRequestDecorator('apiClient'))
  const { call, login } = await startApiApp(t)
  t.match(await call(await login(), getOrders, 'order'), { status: 500, json: { code: 'FST_TOKEN_UNKNOWN_API', message: /name order\. .*: orders\./ } })
})
