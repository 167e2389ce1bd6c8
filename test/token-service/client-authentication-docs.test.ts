import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { SignJWT } from 'jose'
import { test } from 'tap'
import type { ClientAuthenticationMethod } from '../../lib/testing/provider/settings.ts'
import { startAuthorizationServer } from '../support/authorization-server/authorization-server.ts'
import { makeAuthority } from '../support/certificates.ts'
import { credentialsIn } from '../support/client-authentication-app.ts'
import { sessionKey } from '../support/start-app.ts'

const page = readFileSync('docs/client-authentication.md', 'utf8')
const snippets = [...page.matchAll(/```ts\n([^]*?)```/g)].map(([, snippet = '']) => snippet)

/** By the order of the page: how each snippet authenticates. */
const expected: Array<[ClientAuthenticationMethod, string[]]> = [
  ['client_secret_basic', ['header']],
  ['client_secret_post', ['secret']],
  ['client_secret_jwt', ['assertion']],
  ['private_key_jwt', ['assertion']],
  ['private_key_jwt', ['assertion']],
  ['tls_client_auth', ['certificate']],
  ['tls_client_auth', ['certificate']],
  ['none', []],
  ['private_key_jwt', ['assertion']],
  ['client_secret_post', ['secret']]
]

/** Runs each snippet with an `app` and `options`, as the page says, and writes where that app listens. */
const runner = `
import Fastify from 'fastify'
for (const snippet of process.argv.slice(2)) {
  const app = Fastify()
  const options = { issuer: process.env.ISSUER, clientId: 'web', session: { key: process.env.SESSION_KEY }, clients: { jobs: {} } }
  Object.assign(globalThis, { app, options })
  await import(snippet)
  app.get('/jobs', async () => ({ token: await app.clientAccessToken('jobs') }))
  console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
}
`

test('every snippet of the page on client authentication runs as it stands, and authenticates in its own way', async (t) => {
  t.equal(snippets.length, expected.length)
  const files = {
    ...Object.fromEntries(snippets.map((snippet, index) => [`snippet-${index}.ts`, snippet])),
    'runner.ts': runner
  }
  const folder = t.testdir(files)
  const at = (name: string) => `${folder}/${name}`
  const authority = await makeAuthority()
  const certificate = await authority.issue('web')
  const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const workload = generateKeyPairSync('ed25519')

  const [generate = '', print = ''] = /(?<=```sh\n)[^]*?(?=```)/.exec(page)?.[0].split('\n') ?? []
  const shell = (command: string) => execFileSync('sh', ['-c', command], { cwd: folder, encoding: 'utf8', env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'ignore'] })
  shell(generate)
  const server = await startAuthorizationServer({
    clientSubject: 'CN=web',
    tls: { ...await authority.issue('127.0.0.1'), ca: authority.cert },
    assertionLifetime: 3600,
    clientJwks: {
      keys: [JSON.parse(shell(print)), { ...jwk.publicKey.export({ format: 'jwk' }), kid: 'web-2' }, { ...workload.publicKey.export({ format: 'jwk' }), kid: 'workload' }]
    }
  })
  t.teardown(() => server.close())
  const token = await new SignJWT({ jti: 'of the workload' }).setProtectedHeader({ alg: 'EdDSA', kid: 'workload' })
    .setIssuer('web').setSubject('web').setAudience(server.issuer).setExpirationTime('10m').sign(workload.privateKey)
  const contents = {
    CLIENT_KEY_FILE: readFileSync(at('client.key'), 'utf8'),
    CLIENT_JWK_FILE: JSON.stringify({ ...jwk.privateKey.export({ format: 'jwk' }), kid: 'web-2', alg: 'PS256' }),
    TLS_CERT_FILE: certificate.cert,
    TLS_KEY_FILE: certificate.key,
    TLS_CA_FILE: authority.cert,
    TOKEN_FILE: token
  }
  for (const [name, content] of Object.entries(contents)) writeFileSync(at(name), content)

  const child = spawn(process.execPath, ['--import', 'tsx', at('runner.ts'), ...snippets.map((_, index) => at(`snippet-${index}.ts`))], {
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      ISSUER: server.issuer,
      SESSION_KEY: sessionKey,
      CLIENT_SECRET: server.settings.clientSecret,
      ...Object.fromEntries(Object.keys(contents).map((name) => [name, at(name)]))
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })

  const origins: string[] = []
  for await (const line of createInterface(child.stdout)) if (origins.push(line) === snippets.length) break
  t.equal(origins.length, snippets.length, 'all of them boot')
  for (const [index, [method, credentials]] of expected.entries()) {
    server.settings.clientAuthentication = [method]
    t.equal((await fetch(`${origins[index]}/jobs`)).status, 200, `snippet ${index}`)
    const record = server.requestsTo('token').at(-1)
    t.equal(record?.clientAuthentication, method)
    t.strictSame(record && credentialsIn(record), credentials)
  }
  t.strictSame(server.requestsTo('token').flatMap(({ assertion }) => assertion?.header.alg ?? []), ['HS256', 'ES256', 'PS256', 'EdDSA'])
  t.equal(server.requestsTo('token').at(-1)?.headers['x-tenant'], '127.0.0.1')
})
