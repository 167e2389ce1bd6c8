import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { test } from 'tap'
import { faults } from '../support/authorization-server/faults.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'
import { ages, startScenario } from '../support/scenario.ts'
import { startApp } from '../support/start-app.ts'
import { tokenServiceBench } from '../support/token-service-bench.ts'

const codings: Record<string, [coding: string, encode: (body: Buffer) => Buffer]> = {
  gzip: ['gzip', gzipSync],
  'gzip by its old name, in capitals': ['X-GZIP', gzipSync],
  deflate: ['deflate', deflateSync],
  'deflate without the zlib header': ['deflate', deflateRawSync],
  brotli: ['br', brotliCompressSync],
  'two, one after the other': ['deflate, gzip', (body) => gzipSync(deflateSync(body))],
  'a coding that is only claimed': ['gzip', (body) => body],
  'a coding that says nothing': ['identity', (body) => body]
}

test('F8 answers in a content coding are read: of a login, a refresh, a revocation and of the discovery', async (t) => {
  for (const [title, [coding, encode]] of Object.entries(codings)) {
    const { server, browser } = await startLoginApp(t)
    server.fault(faults.coded(coding, encode))
    t.equal((await logIn(browser)).status, 303, `login: ${title}`)
    server.fault(faults.coded(coding, encode), 1, 'metadata')
    t.match((await startApp(t, server)).app.tokenStore, {}, `discovery: ${title}`)
  }
  for (const [title, [coding, encode]] of Object.entries(codings)) {
    const { server, service, dispatcher, session, refresh } = await tokenServiceBench(t)
    server.fault(faults.coded(coding, encode))
    const tokens = await session()
    t.match(await refresh(tokens), { generation: 1, refreshToken: server.familyOf(tokens.refreshToken)?.newestRefreshToken }, `refresh: ${title}`)
    server.fault({ ...faults.oauthError('unsupported_token_type'), ...faults.coded(coding, encode) }, 1, 'revocation')
    t.match(await service.revoke([{ token: 'x', hint: 'refresh_token' }], dispatcher).catch((error: unknown) => error), { error: 'unsupported_token_type' }, `revocation: ${title}`)
  }
})

test('F8 a refusal in a content coding is a refusal, and one that does not open counts by its status', async (t) => {
  const { server, check, loginAged } = await startScenario(t)
  const browser = await loginAged(ages.expired)
  server.fault({ ...faults.oauthError('invalid_grant'), ...faults.coded('gzip', gzipSync) })
  await check(await browser.get('/token'), { status: 401, code: 'FST_TOKEN_LOGIN_REQUIRED', tokenRequests: 1, told: ['failed: ended, the end'] })

  const { failure } = await tokenServiceBench(t)
  const broken = faults.coded('gzip', (body) => Buffer.from([31, 139, 8, 0, ...body]))
  t.match(await failure({ ...faults.retryAfter(429, 7), ...broken }), { name: 'AnswerError', status: 429, retryAfter: 7 })
  t.match(await failure({ ...faults.oauthError('invalid_grant'), ...broken }), { name: 'AnswerError', status: 400, error: undefined })
  t.match(await failure(broken), { name: 'AnswerError', status: 200, message: 'the answer is not a JSON object' })
})

test('F8 an answer whose end is missing is read as far as it goes', async (t) => {
  const { server, session, refresh } = await tokenServiceBench(t)
  for (const [coding, encode, end] of [['gzip', gzipSync, 8], ['deflate', deflateSync, 4]] as const) {
    server.fault(faults.coded(coding, (body) => encode(body).subarray(0, -end)))
    t.match(await refresh(await session()), { generation: 1 }, `${coding} without its checksum`)
  }
})

test('R7 F8 the cap of 1 MiB is for what comes out: a bomb is refused', async (t) => {
  const { server, session, refresh, failure } = await tokenServiceBench(t)
  for (const [coding, encode] of [['gzip', gzipSync], ['deflate', deflateSync], ['deflate', deflateRawSync], ['br', brotliCompressSync], ['gzip, gzip', (body: Buffer) => gzipSync(gzipSync(body))]] as const) {
    t.match(await failure({ ...faults.huge(), ...faults.coded(coding, encode) }), { name: 'BackchannelError', sent: true, message: /larger than 1048576 bytes/ }, coding)
    server.fault({ ...faults.huge(1_000_000), ...faults.coded(coding, encode) })
    t.match(await refresh(await session()), { generation: 1 }, `${coding}: and what is within it is read`)
  }
})
