import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'
import { ages, startScenario } from '../support/scenario.ts'
import { first, tokenServiceBench } from '../support/token-service-bench.ts'
import type { ProviderAnswer } from '../../lib/index.ts'

const failed = { status: 502, code: 'FST_TOKEN_SERVICE_BAD_RESPONSE', cookie: 'set', tokenRequests: 1, told: ['failed: badResponse'] } as const

test('the hook tokenResponse sees every answer of the token service, and what it is an answer to', async (t) => {
  const seen: ProviderAnswer[] = []
  const { server, browser } = await startLoginApp(t, {
    login: { pushedAuthorizationRequests: true },
    tokenResponse: (answer) => { seen.push(answer) },
    routes: (app) => app.post('/revoke', async (request) => { await request.tokens.revoke() })
  })
  t.equal((await logIn(browser)).status, 303)
  server.fault(faults.answer(503, '<p>sorry', { 'x-trace': '1' }), 1, 'revocation')
  await browser.post('/revoke')
  t.match(seen, [
    { grant: undefined, endpoint: /\/par$/, status: 201, body: { request_uri: String } },
    { grant: 'authorization_code', clientId: 'web', issuer: server.issuer, endpoint: `${server.issuer}/token`, status: 200, body: { access_token: String, refresh_token: String } },
    { grant: undefined, endpoint: `${server.issuer}/revoke`, status: 503, body: '<p>sorry' }
  ])
  t.equal(seen[2]?.headers.get('x-trace'), '1')
})

test('what the hook gives is judged in place of the answer: its status, its body, or both', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t, {
    tokenResponse: async ({ status, body }) => {
      const { nested, fault } = Object(body)
      if (nested !== undefined) return { body: nested }
      return fault === undefined ? { status: status === 418 ? 503 : status } : { status: 400, body: { error: fault } }
    }
  })
  server.fault({ alter: (answer) => ({ ...answer, body: { ok: true, nested: answer.body } }) })
  t.match(await refresh(await session()), { generation: 1 })
  server.fault(faults.answer(200, { fault: 'invalid_grant' }))
  t.match(await refresh(await session()).catch((error: unknown) => error), { name: 'AnswerError', status: 400, error: 'invalid_grant' })
  server.fault(faults.retryAfter(418, 7))
  t.match(await refresh(await session()).catch((error: unknown) => error), { name: 'AnswerError', status: 503, retryAfter: 7 })
  t.match(await refresh(await session()), { generation: 1 }, 'and an answer that it leaves alone is what it was')
})

test('what the hook does to the answer itself changes nothing', async (t) => {
  const { session, refresh } = await tokenServiceBench(t, {
    tokenResponse: ({ body, headers }) => {
      Object.assign(Object(body), { access_token: 'changed' })
      headers.delete('date')
    }
  })
  t.not(first((await refresh(await session())).accessTokens).accessToken, 'changed')
})

test('where the hook throws, the answer is not used, and the session goes on with the refresh token in it', async (t) => {
  const failures: unknown[] = []
  for (const tokenResponse of [() => { throw new TypeError('a fault of the app') }, async () => await Promise.reject(new TypeError('a fault of the app'))]) {
    let isBroken = true
    const { server, loginAged, check, clock } = await startScenario(t, {
      tokenResponse: () => isBroken ? tokenResponse() : undefined,
      routes: (app) => app.addHook('onError', async (_request, _reply, error) => { failures.push(error) })
    })
    const browser = await loginAged(ages.expired)
    await check(await browser.get('/token'), failed)
    t.match(failures.pop(), { message: /the hook tokenResponse has failed, see the cause/, cause: { cause: { name: 'TypeError', message: 'a fault of the app' } } })
    isBroken = false
    clock.now += 30
    t.equal((await browser.get('/token')).status, 200)
    const [old, kept] = server.requestsTo('token').map(({ params }) => params.refresh_token)
    t.not(kept, old, 'nothing was spent twice')
  }
})

test('a hook that never ends, or gives a status that is none, has failed', async (t) => {
  const never = await tokenServiceBench(t, { requestTimeout: 0.3, tokenResponse: async () => await new Promise(() => {}) })
  t.match(await never.failure({}), { name: 'AnswerError', cause: { message: 'tokenResponse took longer than 0.3 s' } })
  const odd = await tokenServiceBench(t, { tokenResponse: () => JSON.parse('{"status":"400"}') })
  t.match(await odd.failure({}), { name: 'AnswerError', cause: { message: 'tokenResponse gives a status that is no number' } })
  t.match(await odd.failure(faults.html(503)), { name: 'AnswerError', status: 503 }, 'and the status of the answer counts')
})
