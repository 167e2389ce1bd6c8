/* A stock nginx in front, with its default buffers: 4 KB for the headers of a response, 8 KB for those of a request. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { test, type Test } from 'tap'
import { startAuthorizationServer } from '../../support/authorization-server/authorization-server.ts'
import { Browser } from '../../support/browser.ts'
import { freePort } from '../../support/free-port.ts'
import { startApp } from '../../support/start-app.ts'
import { tokenShapes } from '../../support/token-shapes.ts'
import type { TokenResponse } from '../../../lib/index.ts'

const nginx = '/usr/sbin/nginx'
const skip = !existsSync(nginx) && `NOT TESTED: there is no ${nginx}. apt-get install nginx`
if (skip !== false) process.stderr.write(`\n*** ${skip}\n\n`)

/** An app behind nginx, and a browser that knows only that. */
async function start (t: Test, directives = '') {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const app = await startApp(t, server, {
    routes: (app) => {
      app.get('/id-token', async (request) => ({ kept: (await request.tokens.get())?.idToken !== undefined }))
      app.post('/clear', async (request) => { await request.tokens.clear(); return {} })
    }
  })
  const browser = new Browser(await startNginx(t, app.origin, directives))
  const save = (tokens: TokenResponse) => browser.send('POST', '/save', { 'content-type': 'application/json' }, JSON.stringify(tokens))
  return { ...app, browser, save }
}

async function startNginx (t: Test, upstream: string, directives: string): Promise<string> {
  const port = await freePort()
  const conf = `
    daemon off; user root; worker_processes 1; pid nginx.pid; error_log stderr crit; events {}
    http {
      access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server { listen 127.0.0.1:${port}; ${directives} location / { proxy_pass ${upstream}; } }
    }`
  const prefix = t.testdir({ 'nginx.conf': conf })
  const process = spawn(nginx, ['-p', prefix, '-c', 'nginx.conf', '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'inherit'] })
  t.teardown(async () => {
    process.kill()
    if (process.exitCode === null) await once(process, 'exit')
  })
  while (!await listens(port)) if (process.exitCode !== null) throw new Error(`nginx did not start: ${process.exitCode}`)
  return `http://127.0.0.1:${port}`
}

async function listens (port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return await once(socket, 'connect').then(() => true, () => false).finally(() => socket.destroy())
}

test('the session of a Keycloak with 10 roles passes a stock nginx in one cookie, with its id_token', { skip }, async (t) => {
  const { browser, save } = await start(t)
  const tokens = shape('Keycloak, 10 roles')
  t.strictSame([tokens.access_token, tokens.id_token, tokens.refresh_token].map((token = '') => token.length), [1708, 1146, 644])
  t.equal((await save(tokens)).status, 200)
  t.equal(browser.cookies.size, 1)
  t.equal((await browser.get('/token')).json.token, tokens.access_token)
  t.strictSame((await browser.get('/id-token')).json, { kept: true })
  t.equal((await browser.post('/clear')).status, 200)
  t.equal(browser.cookies.size, 0)
})

for (const name of Object.keys(tokenShapes).filter((name) => name !== 'Entra ID, 50 groups')) {
  test(`the session of ${name} passes a stock nginx`, { skip }, async (t) => {
    const { browser, save } = await start(t)
    t.equal((await save(shape(name))).status, 200)
    t.equal((await browser.get('/token')).json.token, shape(name).access_token)
  })
}

test('a session of two cookies is more than a stock nginx takes of a response, and passes with the setting of docs/storage.md', { skip }, async (t) => {
  const tokens = shape('Entra ID, 50 groups')
  const stock = await start(t)
  t.equal((await stock.save(tokens)).status, 502, 'the answer of nginx')
  const set = await start(t, 'proxy_buffer_size 16k; proxy_buffers 8 16k;')
  t.equal((await set.save(tokens)).status, 200)
  t.equal(set.browser.cookies.size, 2)
  t.equal((await set.browser.get('/token')).json.token, tokens.access_token, 'its request has room in the 8 KB that nginx gives to headers')
})

test('a session over the budget is our error, and not that of nginx', { skip }, async (t) => {
  const { browser, save } = await start(t)
  const { status, json } = await save({ ...shape('Entra ID, 50 groups'), refresh_token: randomBytes(3000).toString('base64url') })
  t.match({ status, json }, { status: 500, json: { code: 'FST_TOKEN_SESSION_TOO_LARGE' } })
  t.equal(browser.cookies.size, 0)
})

function shape (name: string): TokenResponse {
  const tokens = tokenShapes[name]
  if (tokens === undefined) throw new Error(`There is no shape ${name}`)
  return tokens
}
