import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'

/** An app that logs in, refreshes, is refused, and logs out; it ends with what is given here. */
const program = (issuer: string, secret: string, end: string) => `
  import Fastify from 'fastify'
  import tokenManagement from './lib/index.ts'
  const app = Fastify()
  await app.register(tokenManagement, { issuer: '${issuer}', clientId: 'web', clientSecret: '${secret}', session: { key: Buffer.alloc(32, 'k') }, clients: { jobs: {} } })
  app.post('/save', async (request) => { await request.tokens.save(request.body); return {} })
  app.get('/token', async (request) => ({ token: await request.accessToken({ forceRenewal: true }) }))
  app.post('/revoke', async (request) => { await request.tokens.revoke(); return {} })
  const { cookies } = await app.inject({ method: 'POST', url: '/save', payload: JSON.parse(process.env.TOKENS) })
  const headers = { cookie: cookies.map(({ name, value }) => name + '=' + value).join('; ') }
  console.log((await app.inject({ url: '/token', headers })).statusCode)
  console.log((await app.inject({ method: 'POST', url: '/revoke', headers })).statusCode)
  await app.clientAccessToken('jobs')
  ${end}`

for (const [title, end] of Object.entries({ 'whose app is closed': 'await app.close()', 'whose app is not even closed': '' })) {
  test(`no timer and no idle connection keeps a process alive ${title}`, async (t) => {
    const server = await startAuthorizationServer()
    t.teardown(() => server.close())
    const { issuer, settings: { clientSecret } } = server
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program(issuer, clientSecret, end)], {
      env: { ...process.env, NODE_OPTIONS: '', TOKENS: JSON.stringify(await server.issue()) },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    t.teardown(() => child.kill())
    const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
    t.equal(printed, '200\n200\n')
    t.equal(code, 0)
    t.equal(server.refreshes, 1)
  })
}
