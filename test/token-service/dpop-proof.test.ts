import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { decodeJwt } from 'jose'
import type { FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import type { DpopProofParameters } from '../../lib/index.ts'
import type { Settings } from '../support/authorization-server/settings.ts'
import { proofOf } from '../support/proof.ts'
import { ages, assertNoSecrets, startScenario, type Scenario } from '../support/scenario.ts'

type CallApi = (request: FastifyRequest, htu: string, htm?: string) => Promise<Response>

const dpop = { dpop: true, dpopNonce: null } as const
const ath = (token: unknown) => createHash('sha256').update(String(token)).digest('base64url')

/** The function of docs/dpop.md, as it stands there. */
async function documented (t: Test): Promise<CallApi> {
  const [source = ''] = /(?<=<!-- call-api.ts -->\n```ts\n)[^]*?(?=```)/.exec(readFileSync('docs/dpop.md', 'utf8')) ?? []
  writeFileSync(`${t.testdir()}/call-api.ts`, source)
  const { callApi }: { callApi: CallApi } = await import(`${t.testdirName}/call-api.ts`)
  return callApi
}

/** An app that calls the userinfo endpoint, and says what it was answered; `POST /proof` makes what is asked for. */
async function startCaller (t: Test, settings: Partial<Settings>): Promise<Scenario> {
  const callApi = await documented(t)
  const scenario: Scenario = await startScenario(t, {
    clients: { machine: { scope: ['read'] } },
    routes: (app) => {
      app.get<{ Querystring: { query?: string } }>('/call', async (request) => {
        const answer = await callApi(request, `${scenario.server.issuer}/userinfo${request.query.query ?? ''}`)
        return { status: answer.status, body: await answer.json() }
      })
      app.post<{ Body: DpopProofParameters }>('/proof', async (request) => ({ proof: await request.tokens.dpopProof(request.body), token: await request.accessToken({ optional: true }) }))
    }
  }, settings)
  return scenario
}

const json = { 'content-type': 'application/json' }

test('R31 R32 the call of docs/dpop.md: a proof for method, address and token is what an API takes', async (t) => {
  const { server, login, app, log } = await startCaller(t, dpop)
  t.ok(app)
  const browser = await login()
  for (const query of ['', '?page=2#part']) {
    t.match((await browser.get(`/call?query=${encodeURIComponent(query)}`)).json, { status: 200, body: { sub: 'alice' } })
  }
  const proofs = server.requestsTo('userinfo').map(proofOf)
  for (const { header, claims } of proofs) {
    t.match(header, { typ: 'dpop+jwt', alg: 'ES256', jwk: { crv: 'P-256' } })
    t.match(claims, { htm: 'GET', htu: `${server.issuer}/userinfo`, ath: ath((await browser.get('/token')).json.token) })
  }
  t.equal(new Set(proofs.map(({ claims }) => claims.jti)).size, 2)
  assertNoSecrets(t, server, log)
})

test('R35 R36 an API that wants a nonce gets it with one more request, and at once from then on, in every session', async (t) => {
  const { server, login } = await startCaller(t, { ...dpop, dpopNonce: 'issued' })
  const browser = await login()
  t.match((await browser.get('/call')).json, { status: 200 })
  t.match((await browser.get('/call')).json, { status: 200 })
  t.match((await (await login()).get('/call')).json, { status: 200 })
  t.strictSame(server.requestsTo('userinfo').map(({ error }) => error), ['use_dpop_nonce', undefined, undefined, undefined])

  server.expireNonces()
  t.match((await browser.get('/call')).json, { status: 200 }, 'and another one when that is over')
  t.equal(server.requestsTo('userinfo').length, 6)
})

test('R36 nonces are kept for each origin', async (t) => {
  const { login } = await startCaller(t, dpop)
  const browser = await login()
  const nonceFor = async (body: object) => decodeJwt(String((await browser.send('POST', '/proof', json, JSON.stringify(body))).json.proof)).nonce
  t.equal(await nonceFor({ htm: 'GET', htu: 'https://a.example/x', nonce: 'a' }), 'a')
  t.equal(await nonceFor({ htm: 'GET', htu: 'https://b.example/x' }), undefined)
  t.equal(await nonceFor({ htm: 'POST', htu: 'https://a.example/y' }), 'a')
  t.equal(await nonceFor({ htm: 'POST', htu: 'https://a.example:444/y', nonce: null }), undefined)
})

test('a proof is for the current token, refreshed if it is time, or for the one that is named', async (t) => {
  const { server, clock, login } = await startCaller(t, dpop)
  const browser = await login()
  clock.now += ages.expired
  const { json: { proof, token } } = await browser.send('POST', '/proof', json, JSON.stringify({ htm: 'get', htu: 'https://a.example/' }))
  t.match(decodeJwt(String(proof)), { htm: 'GET', ath: ath(token) })
  t.equal(server.tokenRequests, 1)

  const resource = 'https://orders.example'
  const other = await browser.send('POST', '/proof', json, JSON.stringify({ htm: 'GET', htu: resource, resource }))
  t.not(decodeJwt(String(other.json.proof)).ath, ath(other.json.token), 'of another resource')
  const named = await browser.send('POST', '/proof', json, JSON.stringify({ htm: 'GET', htu: resource, accessToken: 'exchanged' }))
  t.equal(decodeJwt(String(named.json.proof)).ath, ath('exchanged'))
})

test('where no proof can be made there is an error, and no request goes without one', async (t) => {
  const { login } = await startCaller(t, dpop)
  const browser = await login()
  for (const htu of ['/orders', 'orders.example', 'ftp://orders.example/', '']) {
    t.match(await browser.send('POST', '/proof', json, JSON.stringify({ htm: 'GET', htu })), { status: 500, json: { code: 'FST_TOKEN_INVALID_PARAMETERS', message: /htu must be an absolute http or https URL/ } })
  }
  const proof = JSON.stringify({ htm: 'GET', htu: 'https://a.example/' })
  browser.cookies.clear()
  t.match(await browser.send('POST', '/proof', json, proof), { status: 401, json: { code: 'FST_TOKEN_UNAUTHENTICATED' } })

  const bearer = await startCaller(t, { dpop: false })
  t.match(await (await bearer.login()).send('POST', '/proof', json, proof), { status: 500, json: { code: 'FST_TOKEN_NO_DPOP_KEY', message: /a Bearer token. Set the option dpop/ } })
  await t.rejects(bearer.app.clientDpopProof('machine', { htm: 'GET', htu: 'https://a.example/' }), { code: 'FST_TOKEN_NO_DPOP_KEY' })
})

test('R33 the tokens of a client are bound to a key of this process, and it makes the proofs for them', async (t) => {
  const { server, app } = await startCaller(t, dpop)
  const htu = `${server.issuer}/userinfo`
  const accessToken = await app.clientAccessToken('machine')
  for (const parameters of [{ accessToken }, {}]) {
    const dpop = await app.clientDpopProof('machine', { htm: 'GET', htu: new URL(htu), ...parameters })
    const answer = await fetch(htu, { headers: { authorization: `DPoP ${accessToken}`, dpop } })
    t.match(await answer.json(), { sub: 'web' })
  }
  await t.rejects(app.clientDpopProof('nobody', { htm: 'GET', htu }), { code: 'FST_TOKEN_UNKNOWN_CLIENT' })
  t.equal(server.tokenRequests, 1)
})
