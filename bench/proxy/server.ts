import { createServer } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import { sessionKey } from '../subjects/this-plugin.ts'
import type { SavedTokens } from '../subject.ts'

/** What one process is told: what it is, and where the API is. */
export interface Start {
  readonly name: 'api' | 'plain' | 'ours'
  readonly api: string
  readonly tokens: SavedTokens
}

/** As they are installed: what tsx makes of lib names each of its functions anew at each call. */
const { default: tokenManagement } = await import('../../dist/lib/index.js')
const { default: tokenProxy } = await import('../../dist/lib/proxy.js')

process.on('message', async (message: Start | 'cpu') => {
  if (message === 'cpu') {
    const { user, system } = process.cpuUsage()
    process.send?.(user + system)
  } else process.send?.(await start(message))
})
process.on('disconnect', () => process.exit())

async function start ({ name, ...settings }: Start): Promise<string> {
  if (name === 'api') return await startApi()
  const app = Fastify({ forceCloseConnections: true })
  if (name === 'plain') await app.register(httpProxy, { prefix: '/api', upstream: settings.api })
  else await registerOurs(app, settings)
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

async function registerOurs (app: ReturnType<typeof Fastify>, { api, tokens }: Omit<Start, 'name'>): Promise<void> {
  await app.register(tokenManagement, {
    // Nobody asks it: the tokens last.
    metadata: { issuer: 'https://idp.example.com', token_endpoint: 'https://idp.example.com/token' },
    clientId: 'web',
    clientSecret: 'a secret',
    session: { key: sessionKey, cookie: { secure: false } },
    apis: { orders: { origin: api, token: 'user' } }
  })
  app.get('/login', async (request) => {
    await request.tokens.save({ ...tokens, token_type: 'Bearer', expires_in: 3600 })
    return {}
  })
  await app.register(tokenProxy, { prefix: '/api', api: 'orders' })
}

/** The least that an API can be, so that it is not what is measured: a small answer, and nothing looked at but whether a token came. */
async function startApi (): Promise<string> {
  const body = JSON.stringify({ id: 7, amount: 3, state: 'sent' })
  const server = createServer(({ headers }, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length, 'x-token': headers.authorization === undefined ? 'none' : 'one' })
    response.end(body)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}
